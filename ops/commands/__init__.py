"""The command line, a file a verb: its options and its words. What a verb does is in a module of its own beside this
folder, imported when the verb runs, so that help is quick.
"""

from ops.commands.certify import certify
from ops.commands.demo import demo
from ops.commands.local import local
from ops.commands.logo import logo
from ops.commands.promote import promote
from ops.commands.registration import registration
from ops.commands.rollback import rollback
from ops.commands.versions import versions

COMMANDS = (demo, local, registration, logo, certify, promote, rollback, versions)
"""In the order in which `spillway --help` lists them."""

__all__ = ["COMMANDS"]
