"""`spillway certify`: plays mParticle against a deployed integration, any one, and says what it would object to.

    targets.py      the function: an ARN or a URL. The only module here that opens connections
    exchange.py     what was sent and how it was answered
    script.py       the requests, as mParticle would make them for what the integration registered
    checks/         what is sent and what is wrong with the answers, a file a subject
    play.py         plays the checks one after the other, within a time
    report.py       what is printed

It knows the integration by its answers alone: no log, no stack and no queue of its own is looked at.
"""
