"""Values that a customer might fill in, for made-up requests."""

from shared.firehose import Setting


def value_of(setting: Setting, made_by: str) -> str:
    """A value within a setting's bounds, as text: mParticle sends settings of every type as texts."""
    if setting.type == "boolean":
        return str(setting.default_value).lower()
    if setting.default_value is not None:
        return str(setting.default_value)
    if setting.type == "text":
        return f"{made_by}-{setting.id}"
    least, most = setting.min_value, setting.max_value
    return str(least if least is not None else most if most is not None else 1)
