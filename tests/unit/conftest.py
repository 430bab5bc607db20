"""How hypothesis searches here: a loaded machine is no reason to fail."""

from hypothesis import settings

settings.register_profile("poolq", deadline=None)
settings.load_profile("poolq")
