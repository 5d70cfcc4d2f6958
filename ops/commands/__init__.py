"""The command line, a file a verb: its options and its words. What a verb does is in a module of its own beside this
folder, imported when the verb runs, so that help is quick.
"""

from ops.commands.demo import demo
from ops.commands.dsr import dsr
from ops.commands.local import local
from ops.commands.logo import logo
from ops.commands.registration import registration

COMMANDS = (demo, dsr, local, registration, logo)
"""In the order in which `spillway --help` lists them."""

__all__ = ["COMMANDS"]
