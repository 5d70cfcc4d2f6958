"""Where the recorded answers of other integrations lie: beside the repository, not in it."""

from pathlib import Path

SHARED = Path(__file__).parents[4] / "shared" / "partners"

# Without them there is nothing to collect here; what they say is in fixtures and tests of our own as well.
collect_ignore = [] if SHARED.is_dir() else ["test_iterable_shared_data.py"]
