"""Ingest's memory for the requests that need the most."""

import subprocess
import sys

MOST_MIB = 350
SPLITS_A_MILLION = """
from shared.message import Head, encode
request = b'{"type":"event_processing_request","events":[' + b"0," * 899_999 + b"0]}"
encode(Head("r", "event_processing_request", "7", 1), request)
with open("/proc/self/status") as status:
    [line] = [line for line in status if line.startswith("VmHWM:")]
print(int(line.split()[1]) // 1_024)
"""


def test_a_request_of_very_many_events_is_split_in_little_room() -> None:
    """Splitting a request of 900,000 events takes under 350 MiB: an event's text keeps none of the buffer in which it
    was written.
    """
    command = [sys.executable, "-c", SPLITS_A_MILLION]
    said = subprocess.run(command, capture_output=True, check=True, timeout=300, env={"PYTHONPATH": ":".join(sys.path)})
    assert int(said.stdout) < MOST_MIB
