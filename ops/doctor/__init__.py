"""`spillway doctor`: look at the account and the stack (look.py), judge what is there (checks.py), try the partner
(partner.py).
"""
