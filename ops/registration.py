"""`spillway registration`: the answer to mParticle's module registration, as ingest gives it."""

import json
import time
import uuid
from collections.abc import Mapping

from partners import load_partner
from shared.firehose import registration_response


def as_json(env: Mapping[str, str]) -> str:
    """Return the registration of the partner that `env` names, indented. Raises InvalidSettings."""
    declared = load_partner(env).registration()
    answer = registration_response(declared, id=str(uuid.uuid4()), timestamp_ms=int(time.time() * 1000))
    return json.dumps(answer, indent=2, ensure_ascii=False)
