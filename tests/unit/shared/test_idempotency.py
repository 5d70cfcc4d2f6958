from shared.idempotency import Places, key_of


def test_calls_of_one_request_have_keys_of_their_own() -> None:
    """Endpoint, item and number tell calls apart; the query is none of it: a key that changes in it changes nothing."""
    places = Places()
    made = [
        places.next("POST", "https://a.example/v1/events?k=1", "e1"),
        places.next("POST", "https://a.example/v1/events?k=2", "e1"),
        places.next("POST", "https://a.example/v1/events", "e2"),
        places.next("PUT", "https://b.example/v1/events", "e1"),
    ]
    assert made == [
        ("POST /v1/events", "e1", "1"),
        ("POST /v1/events", "e1", "2"),
        ("POST /v1/events", "e2", "1"),
        ("PUT /v1/events", "e1", "1"),
    ]


def test_a_key_stays_what_it_is() -> None:
    """Messages outlive a deploy: another release must make the same key of the same call."""
    assert key_of("7", "r", "1/1", "POST /v1/events", "e1", "1") == "467e8800e7996d8dab7b105f26c88449"
    assert len(key_of("\ud800")) == 32
