"""Fields and columns by which something else is stored than what the attribute says."""

from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Value
from django.db.models.functions import Lower


class LowerOnSave:
    """Prepares what is stored, and leaves the attribute as it is."""

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        value = super().pre_save(model_instance, add)  # type: ignore[misc]
        return value.lower() if isinstance(value, str) else value


class PreSaveField(LowerOnSave, models.CharField):  # type: ignore[type-arg]
    """Only `pre_save` is its own, and that comes from elsewhere."""


class ExpressionField(models.CharField):  # type: ignore[type-arg]
    """Has the database do it."""

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        return Lower(Value(super().pre_save(model_instance, add)))


class PlaceholderField(models.CharField):  # type: ignore[type-arg]
    """Has the database do it, in `update()` as well."""

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        return "LOWER(%s)"

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Do what Django 6.1 asks for in its place, and leaves to compile expressions as well."""
        sql, params = compiler.compile(value) if hasattr(value, "as_sql") else ("%s", (value,))
        return f"LOWER({sql})", params


class LoadedField(models.CharField):  # type: ignore[type-arg]
    """Stores what it is given, and has something else of it in Python."""

    def from_db_value(self, value: str, expression: Any, connection: Any) -> str:
        return value.lower()


class _Coded(models.Model):
    name = models.CharField(max_length=100, default="")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class PreSaved(_Coded):
    code = PreSaveField(max_length=100)


class Computed(_Coded):
    code = ExpressionField(max_length=100)


class Placed(_Coded):
    code = PlaceholderField(max_length=100)


class Loaded(_Coded):
    code = LoadedField(max_length=100)


class Rewritten(_Coded):
    """Its own code writes something else than Django would."""

    code = models.CharField(max_length=100)

    def _do_insert(self, manager: Any, using: Any, fields: Any, *args: Any) -> Any:
        given, self.code = self.code, self.code.lower()
        try:
            return super()._do_insert(manager, using, fields, *args)  # type: ignore[misc]
        finally:
            self.code = given

    def _do_update(self, base_qs: Any, using: Any, pk_val: Any, values: Any, *args: Any) -> Any:
        values = [(f, m, v.lower() if isinstance(v, str) else v) for f, m, v in values]
        return super()._do_update(base_qs, using, pk_val, values, *args)


class KeyedByCode(models.Model):
    """Its key is stored in lower case, which the instance does not know."""

    code = PreSaveField(max_length=100, primary_key=True)
    rank = models.IntegerField(default=0)

    def __str__(self) -> str:
        return str(self.code)


class KeyedByText(models.Model):
    code = models.CharField(max_length=100, primary_key=True)

    def __str__(self) -> str:
        return self.code


class Referring(models.Model):
    """Its foreign key has the values prepared by the field that it refers to."""

    mail = models.ForeignKey(
        "LowerMail", models.CASCADE, to_field="address", db_constraint=False, null=True
    )

    def __str__(self) -> str:
        return f"{self.pk}"


class LowerField(models.CharField):  # type: ignore[type-arg]
    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return None if value is None else value.lower()


class LowerMail(models.Model):
    address = LowerField(max_length=100, unique=True)

    def __str__(self) -> str:
        return str(self.address)


class Measured(models.Model):
    """Columns that do not take every value as it is."""

    amount = models.DecimalField(max_digits=30, decimal_places=2, null=True)
    ratio = models.FloatField(null=True)
    short = models.CharField(max_length=5, null=True)
    moment = models.DateTimeField(null=True)
    facts = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    address = models.GenericIPAddressField(null=True)

    def __str__(self) -> str:
        return f"{self.pk}"
