"""What ships in the package: models."""

from wxjax.command import Call, Command


def models(call: Call) -> None:
    """Lists the models of the package: name, what for, size, SHA-256 and where the card lies.

    examples:
      wxjax models
      wxjax restore photo.jpg --model=weather
    """
    from wxjax import models as shipped

    for name in shipped.names():
        model = shipped.find(name)
        default = " (default)" if name == shipped.DEFAULT else ""
        print(f"{name}{default}: {model.purpose}")
        print(f"  {model.size / 1e6:.1f} MB, SHA-256 {model.sha256}")
        print(f"  card {model.card}")


MODELS = Command(models, "the models of the package", "pictures", device=False)
