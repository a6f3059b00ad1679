"""Responses of REST framework, which are rendered late, and belong to a view and two requests."""
