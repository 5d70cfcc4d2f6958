"""Any HTTP endpoint that takes JSON: a partner that is configured, not written.

Environment of the worker (and of ingest, for the registration):

    WEBHOOK_URL      where to send; https, or http on a loopback address
    WEBHOOK_METHOD   POST (default), PUT or PATCH
    WEBHOOK_HEADERS  static headers, a JSON object of strings: {"X-Source": "mparticle"}; whoever may read the
                     function's environment reads them, and the URL
    WEBHOOK_SECRET_HEADERS  the same for secret ones: where they are kept, ssm:/name or secretsmanager:ARN
    WEBHOOK_PER      event (default): one call for each event, notification, profile or erasure
                     request: one call for each request of mParticle's
    WEBHOOK_AUTH     bearer (default): the customer's `apiKey` setting as `Authorization: Bearer ...`
                     header:NAME: the customer's `apiKey` as header NAME;  none: no credentials
    WEBHOOK_RATE     what the endpoint takes of all customers together: 50, or 45/20 for 45 calls every 20 s
    WEBHOOK_ACCOUNT_RATE  the same for each customer; by default there is none
    WEBHOOK_SUBSCRIBE_URL  where audience subscriptions are sent while mParticle waits; without it they are accepted
    WEBHOOK_SIGN     true: sign with the customer's `signingSecret` setting, as Standard Webhooks has it

A body holds mParticle's JSON as it came, numbers exact, without the account's settings: they hold the credentials.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from partners.base import Delivery, LeftOut, Limits, Partner, Secret
from partners.headers import is_name, merged, why_reserved
from partners.in_line import Call
from partners.reading import one_by_one
from partners.settings import credential, headers, one_of, rate, secret_headers, settings_of, signing_secret, url
from shared import firehose as mp
from shared.errors import InvalidSettings, SubscriptionFailed
from shared.message import to_json

_SUBSCRIBE_URL = "WEBHOOK_SUBSCRIBE_URL"
_SECRET_HEADERS = "WEBHOOK_SECRET_HEADERS"  # noqa: S105 - a variable's name
_JSON = {"Content-Type": "application/json"}
_OF_THE_BODY = ("Content-Encoding",)
"""Headers that would describe the body wrongly."""

_PARTS_OF: Mapping[type[mp.Request], Mapping[str, str]] = {
    mp.EventProcessingRequest: {"system_notifications": "system_notification", "events": "event"},
    mp.AudienceMembershipChangeRequest: {"user_profiles": "user_profile"},
}
"""The fields of a request whose elements become a call each, in this order, and are left out of the other calls; and
the name of an element of each.
"""

Part = tuple[str, object]
"""The name of the part that a call carries, and the part as it came."""


@dataclass(frozen=True)
class Webhook(Partner):
    url: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, Secret] | None = field(default_factory=dict)
    """None: the secret headers are in a store, and have not been read."""
    per_event: bool = True
    credential_header: str | None = "Authorization"
    signs: bool = False
    subscribe_url: str | None = None
    limits: Limits = field(default_factory=Limits)

    name = "webhook"
    reads = frozenset({"account"})

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        credential_header = _credential_header(env.get("WEBHOOK_AUTH") or "bearer")
        taken = (*_OF_THE_BODY, *filter(None, [credential_header]))
        plain = headers(env, "WEBHOOK_HEADERS", taken=taken)
        return cls(
            url=url(env, "WEBHOOK_URL"),
            method=one_of(env, "WEBHOOK_METHOD", ("POST", "PUT", "PATCH")),
            headers=plain,
            secret_headers=secret_headers(env, _SECRET_HEADERS, taken=(*taken, *plain, *_JSON)),
            per_event=one_of(env, "WEBHOOK_PER", ("event", "request")) == "event",
            credential_header=credential_header,
            limits=Limits(
                rate=rate(env, "WEBHOOK_RATE"),
                account_rate=rate(env, "WEBHOOK_ACCOUNT_RATE"),
            ),
            signs=one_of(env, "WEBHOOK_SIGN", ("false", "true")) == "true",
            subscribe_url=url(env, _SUBSCRIBE_URL) if env.get(_SUBSCRIBE_URL) else None,
        )

    def registration(self) -> "mp.Registration":
        settings: list[mp.Setting] = []
        if self.credential_header:
            settings.append(mp.TextSetting(id="apiKey", name="API key", required=True, confidential=True))
        if self.signs:
            settings.append(mp.TextSetting(id="signingSecret", name="Signing secret", required=True, confidential=True))
        return mp.Registration(
            name="Webhook",
            version="1.0.0",
            description="Sends events, audience changes and erasure requests to an HTTP endpoint as JSON.",
            permissions=mp.Permissions(
                user_identities=[
                    mp.UserIdentityPermission(type=kind, encoding=mp.Encoding.RAW) for kind in mp.UserIdentityType
                ],
                device_identities=[
                    mp.DeviceIdentityPermission(type=kind, encoding=mp.Encoding.RAW) for kind in mp.DeviceIdentityType
                ],
                allow_access_device_application_stamp=True,
                allow_user_attributes=True,
                allow_device_info=True,
                allow_audience_user_attributes=True,
                allow_consent_state=True,
                allow_access_mpid=True,
                allow_eventless_batches=not self.per_event,
            ),
            event_processing_registration=mp.EventProcessingRegistration(
                account_settings=settings,
                supported_event_types=[kind for kind in mp.EventType if kind is not mp.EventType.PUSH_MESSAGE_RECEIPT],
                supported_runtime_environments=list(mp.EnvironmentType),
                supported_system_notification_types=list(mp.SystemNotificationType),
            ),
            audience_processing_registration=mp.AudienceProcessingRegistration(account_settings=settings),
            dsr_processing_registration=mp.DsrProcessingRegistration(
                account_settings=settings, supported_dsr_types=[mp.SubjectRequestType.ERASURE]
            ),
        )

    def deliveries(self, request: mp.Request) -> Iterator[Delivery | LeftOut]:
        raw = _without_settings(request.raw)
        if not self.per_event:
            yield self._delivery(self.url, "request", to_json(raw), request)
        elif isinstance(request, mp.DsrProcessingRequest):
            body = _Around.of({"id": raw.get("id")}).body("erasure", raw)
            yield self._delivery(self.url, "erasure", body, request)
        elif (parts := _PARTS_OF.get(type(request))) is not None:
            around = _Around.of(raw, without=parts)

            def call_of(item: str, part: Part) -> Iterator[Delivery]:
                yield self._delivery(self.url, item, around.body(*part), request)

            yield from one_by_one(_parts(raw, parts), call_of)

    def subscribe(self, request: mp.AudienceSubscriptionRequest, call: Call) -> Mapping[str, str]:
        """Tell the endpoint; an audience is subscribed only if it accepts. The settings stay as they came."""
        if self.subscribe_url is not None:
            raw = _without_settings(request.raw)
            body = _Around.of({"id": raw.get("id")}).body("audience_subscription", raw)
            answer = call(self._delivery(self.subscribe_url, "audience_subscription", body, request))
            if not answer.is_success:
                raise SubscriptionFailed(f"the partner answered HTTP {answer.status} to a subscription")
        return request.audience_subscription_settings

    def _delivery(self, url: str, item: str, body: bytes, request: mp.Request) -> Delivery:
        secret_headers, signing_secret = self._credentials(request)
        return Delivery(
            url=url,
            body=body,
            item=item,
            method=self.method,
            headers=merged(_JSON, self.headers),
            secret_headers=secret_headers,
            sign_with=signing_secret,
        )

    def _credentials(self, request: mp.Request) -> tuple[dict[str, Secret], Secret | None]:
        if self.secret_headers is None:
            raise InvalidSettings(f"{_SECRET_HEADERS} says where headers are kept, and they were not read")
        settings = settings_of(request)
        found = dict(self.secret_headers)
        if self.credential_header and settings.get("apiKey"):  # without one the partner's 401 says what is missing
            key = credential(settings, "apiKey")
            is_bearer = self.credential_header == "Authorization"
            found[self.credential_header] = Secret(f"Bearer {key.value}") if is_bearer else key
        return found, signing_secret(settings, "signingSecret") if self.signs else None


def _parts(raw: Mapping[str, Any], parts: Mapping[str, str]) -> Iterator[tuple[str, Part]]:
    """The parts of a request that become a call each, with their items' names."""
    for field_, name in parts.items():
        for index, part in enumerate(raw.get(field_) or ()):
            yield (name == "event" and mp.id_of(part)) or f"{field_}[{index}]", (name, part)


@dataclass(frozen=True, slots=True)
class _Around:
    """The JSON around the content of each body of a request: written once, because it may be large."""

    request_id: bytes
    context: bytes

    @classmethod
    def of(cls, raw: Mapping[str, Any], *, without: Collection[str] = ()) -> Self:
        context = {key: value for key, value in raw.items() if key not in without}
        return cls(to_json(context.get("id")), to_json(context))

    def body(self, kind: str, content: object) -> bytes:
        name = kind.encode()
        parts = (b'{"kind":"', name, b'","request_id":', self.request_id, b',"', name, b'":', to_json(content))
        return b"".join((*parts, b',"context":', self.context, b"}"))


def _without_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    account = raw.get("account")
    if not isinstance(account, Mapping):
        return dict(raw)
    return {**raw, "account": {key: value for key, value in account.items() if key != "account_settings"}}


def _credential_header(auth: str) -> str | None:
    if auth == "none":
        return None
    if auth == "bearer":
        return "Authorization"
    prefix, _, name = auth.partition(":")
    if prefix != "header" or not is_name(name) or name.lower() == "authorization":
        raise InvalidSettings("WEBHOOK_AUTH must be bearer, none or header:NAME (a header other than Authorization)")
    why = why_reserved(name) or ("it says what the body is" if name.lower().startswith("content-") else None)
    if why:
        raise InvalidSettings(f"WEBHOOK_AUTH must not name the header {name}: {why}")
    return name
