"""The command line, a file a verb: its options and its words. What a verb does is in a module of its own beside this
folder, imported when the verb runs, so that help is quick.
"""

from ops.commands.breaker import breaker
from ops.commands.certify import certify
from ops.commands.cooldown import cooldown
from ops.commands.demo import demo
from ops.commands.dlq import dlq
from ops.commands.doctor import doctor
from ops.commands.dsr import dsr
from ops.commands.ledger import ledger
from ops.commands.limit import limit
from ops.commands.local import local
from ops.commands.logo import logo
from ops.commands.partner import partner
from ops.commands.pause import pause, resume
from ops.commands.probe import probe
from ops.commands.promote import promote
from ops.commands.registration import registration
from ops.commands.rollback import rollback
from ops.commands.sample import sample
from ops.commands.status import status
from ops.commands.suspensions import suspensions
from ops.commands.tail import tail
from ops.commands.trace import trace
from ops.commands.trail import trail
from ops.commands.versions import versions

COMMANDS = (
    demo,
    local,
    partner,
    sample,
    registration,
    logo,
    certify,
    doctor,
    promote,
    rollback,
    versions,
    status,
    trace,
    tail,
    ledger,
    suspensions,
    pause,
    resume,
    limit,
    breaker,
    probe,
    cooldown,
    dlq,
    trail,
    dsr,
)
"""In the order in which `spillway --help` lists them; several verbs about one thing are a typer app with that name."""

__all__ = ["COMMANDS"]
