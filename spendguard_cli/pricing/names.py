"""The models whose prices come with the program, by the names that `pricing show` takes."""

from spendguard_daemon.pricing import catalogue


def bundled_models() -> list[str]:
    """Return `provider:model` of each."""
    models = catalogue.bundled().models
    return [f"{provider}:{model}" for provider in sorted(models) for model in sorted(models[provider])]
