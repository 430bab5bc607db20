"""The shop's pages."""

from django.urls import path

from store.views import order

urlpatterns = [path("orders", order)]
