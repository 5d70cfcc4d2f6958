"""How much of the function's memory a batch may use."""

import base64
import json
import tracemalloc

import pytest
import zstandard

from shared.message import text_of
from worker_fn.batch.memory import EMPTY_MIB, MIB, Room, exact_weight_of, odd_weight_of, weight_of
from worker_fn.settings import Settings


@pytest.mark.parametrize("memory_mib", [128, 256, 512, 1_024, 10_240])
def test_room_leaves_the_worker_its_own(memory_mib: int) -> None:
    """A batch may use half of the free memory, a heavy message three quarters; a small function takes messages one by
    one.
    """
    room = Room.of_function(memory_mib)
    assert 0 < room.batch < room.message
    assert room.message <= max(16, memory_mib - EMPTY_MIB) * MIB


def test_weight_grows_with_what_a_text_holds() -> None:
    """Objects weigh more than values, values more than text."""
    assert weight_of('{"a":"%s"}' % ("x" * 1_000)) < weight_of("[" + "1," * 500 + "1]") < weight_of("{}," * 333)
    assert weight_of("é") == weight_of("é".encode())
    assert weight_of("\ud800") > 0


def test_exact_weight_leaves_texts_out() -> None:
    """Braces and commas in a string do not count, even after escaped quotes and backslashes."""
    plain = json.dumps({"a": 1, "b": [1, 2]})
    padded = json.dumps({"a": 1, "b": [1, 2], "c": 'x{{{,,,"{,\\'})
    assert exact_weight_of(padded) - exact_weight_of(plain) < 180 + 4 * 40
    assert weight_of(padded) - weight_of(plain) > 4 * 1_100


@pytest.mark.parametrize("before", range(4))
def test_exact_weight_takes_a_long_text_apart_piece_by_piece(before: int) -> None:
    """The weight is the same wherever a piece ends, and counting two million strings takes no more memory than their
    text.
    """
    text = b" " * before + b'["{,",' * 100_000
    assert exact_weight_of(text) == 4 * len(text) + 180 * 100_000
    strings = b'"",' * 2_000_000
    tracemalloc.start()
    exact_weight_of(strings)
    assert tracemalloc.get_traced_memory()[1] < 5 * len(strings)
    tracemalloc.stop()


def test_what_stands_in_place_of_an_event_weighs_as_one() -> None:
    """A value in place of an event, notification or profile weighs as one, because a model is made of it; elsewhere it
    weighs as a value.
    """
    assert odd_weight_of({"events": [{}, 0, None, "x", []], "user_profiles": [1], "x": [0] * 9}) == 5 * 1_100
    assert odd_weight_of({"events": 5, "system_notifications": None}) == 0


def packed(text: str, **more: object) -> str:
    frame = base64.b64encode(zstandard.compress(text.encode())).decode()
    return json.dumps({"v": 1, "encoding": "zstd", "payload": frame, **more})


def test_text_of_a_compressed_payload_is_what_it_holds() -> None:
    """A compressed payload is weighed by its text, however its envelope is spelled."""
    assert text_of(packed('{"a":1}')) == b'{"a":1}'
    assert text_of(packed('{"a":1}').replace("zstd", "\\u007astd")) == b'{"a":1}'
    assert text_of(packed('{"a":1}', beside="\ud800")) == b'{"a":1}'
    assert text_of(packed('{"a":1}', beside=0).replace('"beside": 0', '"beside": 1e400')) == b'{"a":1}'


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "{}",
        '{"encoding":"zstd"}',
        '"zstd"',
        '{"encoding":"zstd","payload":"!"}',
        packed("{}", encoding="json"),
    ],
)
def test_text_of_anything_else_is_itself(body: str) -> None:
    """A body that cannot be read is weighed as it is."""
    assert text_of(body) == body


def test_settings_know_the_functions_memory() -> None:
    """Lambda says it; elsewhere it is what is deployed by default."""
    queues = dict.fromkeys(("QUEUE_URL", "DLQ_URL", "PARKING_QUEUE_URL"), "https://sqs.example/q")
    env = {**queues, "STATE_TABLE": "table"}
    assert Settings.from_env(env).memory_mib == 512
    assert Settings.from_env({**env, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256"}).memory_mib == 256
