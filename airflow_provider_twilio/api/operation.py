"""Operations: functions that check their arguments and return a Request or a Listing."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import cached_property, wraps
from types import MethodType
from typing import (
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

from airflow_provider_twilio.api.errors import BadParameter
from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import UNRESOLVED, address_text, utc_text, wire_name, wire_value, wire_values

P = ParamSpec("P")


T = TypeVar("T")


C_co = TypeVar("C_co", covariant=True)


ADDRESSES = ("to", "from_")
"""Parameters whose values are phone numbers or channel addresses."""


CLIENT_SIDE = ("limit", "page_size", "max_segments")
"""Parameters that the client acts on and does not send."""


EXTRA_PARAMS = "extra_params"
"""The parameter that holds further form parameters, by Twilio's own names."""


class BlockingClient(Protocol):
    """Anything that can send requests and returns when the response has arrived."""

    def send(self, request: Request[T], /) -> T: ...
    def iter_records(self, listing: Listing[T], /) -> Iterator[T]: ...


class AwaitingClient(Protocol):
    """Anything that can send requests and returns awaitables."""

    def send(self, request: Request[T], /) -> Awaitable[T]: ...
    def iter_records(self, listing: Listing[T], /) -> AsyncIterator[T]: ...


class Resource(Generic[C_co]):
    """The operations on one resource. Bound to a client, they send their requests."""

    def __init__(self, client: C_co) -> None:
        self._client = client


class Definition:
    """An operation's function, with the form parameters that its signature declares.

    Importing a module defines its operations, so everything but the names is computed on first use.

    :param function: Checks its arguments and returns a Request or Listing without form parameters.
    :param verb: The client method that takes the result.
    """

    def __init__(self, function: Callable[..., Any], verb: Literal["send", "iter_records"]) -> None:
        self.function: Callable[..., Any] = getattr(function, "__func__", function)
        self.verb = verb
        written: Any = inspect.unwrap(self.function)
        code = written.__code__
        positional, keyword_only = code.co_argcount, code.co_kwonlyargcount
        self.names: tuple[str, ...] = code.co_varnames[: positional + keyword_only]
        sent = [name for name in self.names[positional:] if name not in CLIENT_SIDE]
        for name in sent:
            if (written.__kwdefaults__ or {}).get(name) is not None:
                raise TypeError(f"{self.function.__qualname__}: {name} is sent, so it may only default to None")
        self._form_names = [name for name in sent if name != EXTRA_PARAMS]

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters of the function's signature, by name."""
        return inspect.signature(self.function).parameters

    @cached_property
    def wire_names(self) -> Mapping[str, str]:
        """Twilio's name of each form parameter, by the parameter's own name."""
        return {name: wire_name(name) for name in self._form_names}

    @cached_property
    def times(self) -> set[str]:
        """The names of the parameters that are times or dates."""
        return {name for name, parameter in self.parameters.items() if "date" in str(parameter.annotation)}

    @cached_property
    def _own_names(self) -> Mapping[str, str]:
        """The name of each parameter, by each lowercase key that would duplicate it in ``extra_params``."""
        own = {name: name for name in self.names}
        return own | {wire.lower(): name for name, wire in self.wire_names.items()}

    @cached_property
    def build(self) -> Callable[..., Any]:
        """The operation as accessed on its class: check the arguments and return the Request or Listing."""

        @wraps(self.function)
        def build(*args: Any, **kwargs: Any) -> Any:
            skeleton = self.function(*args, **kwargs)
            return skeleton.replace(data=skeleton.data + self.form_data(kwargs))

        build.definition = self  # type: ignore[attr-defined]
        return build

    @cached_property
    def _method(self) -> Callable[..., Any]:
        build = self.build

        @wraps(self.function)
        def method(resource: Resource[Any], /, *args: Any, **kwargs: Any) -> Any:
            return self.run(resource._client, build(*args, **kwargs))

        resource = inspect.Parameter("resource", inspect.Parameter.POSITIONAL_ONLY)
        method.__signature__ = inspect.Signature([resource, *self.parameters.values()])  # type: ignore[attr-defined]
        return method

    def form_data(self, kwargs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """Return the form parameters in the order of the signature, those of ``extra_params`` last.

        :raises BadParameter: When a value cannot be sent, or ``extra_params`` is invalid.
        """
        named = [
            (self.wire_names[name], self._format(name, text))
            for name in self._form_names
            if name in kwargs
            for text in wire_values(name, kwargs[name])
        ]
        return (*named, *self._extra_form_data(kwargs.get(EXTRA_PARAMS)))

    def _format(self, name: str, text: str) -> str:
        if name in ADDRESSES:
            return address_text(text)
        return utc_text(name, text) if name in self.times else text

    def _extra_form_data(self, extra_params: Any) -> list[tuple[str, str]]:
        if extra_params is None or extra_params is UNRESOLVED:
            return []
        if not isinstance(extra_params, Mapping):
            raise BadParameter(
                EXTRA_PARAMS,
                f"is of type {type(extra_params).__name__}",
                "pass a mapping from Twilio's parameter names to values",
            )
        data: list[tuple[str, str]] = []
        for key, value in extra_params.items():
            if not isinstance(key, str) or not key.strip():
                raise BadParameter(EXTRA_PARAMS, "has a key that is empty or not a string", "use Twilio's name as key")
            if own_name := self._own_names.get(key.lower()):
                raise BadParameter(
                    EXTRA_PARAMS, f"contains {key}, a parameter of this operation", f"pass it as {own_name}"
                )
            wire_key = wire_value(EXTRA_PARAMS, key)
            if value is not UNRESOLVED:
                data += [(wire_key, text) for text in wire_values(f"{EXTRA_PARAMS}[{key!r}]", value)]
        return data

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Check arguments without building a request. A value that is not known yet is :data:`UNRESOLVED`.

        :raises BadParameter: When an argument is invalid.
        """
        self.function(**arguments)
        self._extra_form_data(arguments.get(EXTRA_PARAMS))

    def run(self, client: Any, value: Any) -> Any:
        """Pass a Request or Listing to the client method that takes it."""
        return getattr(client, self.verb)(value)

    def bind(self, instance: Resource[Any] | None) -> Any:
        """Return the operation as accessed on a resource class, or on a resource bound to a client."""
        return self.build if instance is None else MethodType(self._method, instance)

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return self.function.__qualname__


class operation(Generic[P, T]):  # noqa: N801 (used as a decorator)
    """A Twilio operation, made of a function that checks its arguments and names the path.

    The function uses its positional parameters in the path. Its keyword-only parameters become form parameters under
    Twilio's names; None omits a parameter. Called on the class, the operation returns a ``Request``. Called on a
    resource bound to a client, it sends the request.
    """

    def __init__(self, function: Callable[P, Request[T]]) -> None:
        self.definition = Definition(function, "send")

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[P, Request[T]]: ...
    @overload
    def __get__(self, instance: Resource[BlockingClient], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Resource[AwaitingClient], owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, instance: Resource[Any] | None, owner: type) -> Any:
        return self.definition.bind(instance)


class listing(Generic[P, T]):  # noqa: N801
    """A list operation, made of a function that checks its filters and names the path.

    Called on the class, the operation returns a ``Listing``. Called on a resource bound to a client, it returns an
    iterator that requests pages as needed, in constant memory. Otherwise it works like :class:`operation`.
    """

    def __init__(self, function: Callable[P, Listing[T]]) -> None:
        self.definition = Definition(function, "iter_records")

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[P, Listing[T]]: ...
    @overload
    def __get__(self, instance: Resource[BlockingClient], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Resource[AwaitingClient], owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Resource[Any] | None, owner: type) -> Any:
        return self.definition.bind(instance)


def definition(request: Callable[..., Any]) -> Definition:
    """Return the definition of an operation.

    :param request: Operation as accessed on its class, such as ``Messages.create``.
    :raises TypeError: When the function is not an operation.
    """
    attached = getattr(request, "definition", None)
    if not isinstance(attached, Definition):
        raise TypeError(f"{request!r} is not an operation: pass one of a resource class, such as Messages.create")
    return attached
