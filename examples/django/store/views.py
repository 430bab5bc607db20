"""The shop's web process: `python manage.py runserver`."""

import json

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from store.tasks import confirm


@csrf_exempt
@transaction.atomic
def order(request: HttpRequest) -> JsonResponse:
    """Confirm an order. The task is stored when the transaction has been committed."""
    given = json.loads(request.body)
    task = confirm.enqueue(given["to"], given["item"], given["price"])
    return JsonResponse({"job": task.id}, status=202)
