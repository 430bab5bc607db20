"""What differs from Django's defaults."""

from pathlib import Path

SECRET_KEY = "only for this example"  # noqa: S105  # it is none
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
INSTALLED_APPS = ["poolq.contrib.django", "store"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).resolve().parents[1] / "shop.sqlite3",
    }
}
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
DEFAULT_FROM_EMAIL = "shop@example.com"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TASKS = {
    "default": {
        "BACKEND": "poolq.contrib.django.PoolqBackend",
        "QUEUES": ["default", "mails"],
    }
}
POOLQ = {"procs": 2}
