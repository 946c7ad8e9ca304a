"""Operations: a function whose signature is its documentation and whose result is a Request or a Listing."""

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

from airflow_provider_twilio.api.listing import Listing
from airflow_provider_twilio.api.request import Request
from airflow_provider_twilio.api.values import address_text, utc_text, wire_name, wire_values

P = ParamSpec("P")


T = TypeVar("T")


C_co = TypeVar("C_co", covariant=True)


T_co = TypeVar("T_co", covariant=True)


ADDRESSES = ("to", "from_")
"""Parameters of operations that are numbers, or addresses on a channel."""


CLIENT_SIDE = ("limit", "page_size", "max_segments")
"""Parameters of operations that are not sent: they bound what is."""


class BlockingClient(Protocol):
    """A client that returns when the answer is there."""

    def send(self, request: Request[T], /) -> T: ...
    def iter_records(self, listing: Listing[T], /) -> Iterator[T]: ...


class AwaitingClient(Protocol):
    """A client whose answers are awaited."""

    def send(self, request: Request[T], /) -> Awaitable[T]: ...
    def iter_records(self, listing: Listing[T], /) -> AsyncIterator[T]: ...


class Resource(Generic[C_co]):
    """Group the operations on one kind of thing; bound to a client, they run."""

    def __init__(self, client: C_co) -> None:
        self._client = client


class Definition:
    """Hold what an operation is: its function, and from the signature what is sent under which name.

    Every operation has one as soon as its module is imported, so all but the names is read when it is first used.

    :param function: checks its arguments and gives the Request, or Listing, but for the parameters that are sent.
    :param verb: what a client does with the result: ``send`` or ``walk``.
    """

    def __init__(self, function: Callable[..., Any], verb: Literal["send", "iter_records"]) -> None:
        self.function: Callable[..., Any] = getattr(function, "__func__", function)
        self.verb = verb
        written: Any = inspect.unwrap(self.function)
        code = written.__code__
        by_place, by_name = code.co_argcount, code.co_kwonlyargcount
        self.names: tuple[str, ...] = code.co_varnames[: by_place + by_name]
        self._optional = [name for name in self.names[by_place:] if name not in CLIENT_SIDE]
        for name in self._optional:
            if (written.__kwdefaults__ or {}).get(name) is not None:
                raise TypeError(f"{self.function.__qualname__}: {name} is sent, so it may only default to None")

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.function).parameters

    @cached_property
    def wire_names(self) -> Mapping[str, str]:
        """Each parameter that is sent, and Twilio's name of it."""
        return {name: wire_name(name) for name in self._optional}

    @cached_property
    def times(self) -> set[str]:
        """The parameters that are times or days."""
        return {name for name, parameter in self.parameters.items() if "date" in str(parameter.annotation)}

    @cached_property
    def build(self) -> Callable[..., Any]:
        """Check the arguments and build the value: what the operation gives when it is called on the class."""

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
        """Write the arguments that are sent, in the order of the signature."""
        return tuple(
            [
                (self.wire_names[name], self._format(name, text))
                for name in self._optional
                if name in kwargs
                for text in wire_values(name, kwargs[name])
            ]
        )

    def _format(self, name: str, text: str) -> str:
        if name in ADDRESSES:
            return address_text(text)
        return utc_text(name, text) if name in self.times else text

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Run the operation's checks alone; what is not known yet is given as :data:`LATER`."""
        self.function(**arguments)

    def run(self, client: Any, value: Any) -> Any:
        """Let a client send the Request, or walk the Listing, that :meth:`build` gave."""
        return getattr(client, self.verb)(value)

    def bind(self, instance: Resource[Any] | None) -> Any:
        """Give the operation as it is read on a resource: on the class it builds, bound to a client it runs."""
        return self.build if instance is None else MethodType(self._method, instance)

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return self.function.__qualname__


class operation(Generic[P, T]):  # noqa: N801 (a decorator reads as a word)
    """Make a Twilio operation of a function that checks its arguments and names the path.

    What stands before ``*`` in the signature goes into the path, by the function itself; what stands after it is sent
    under Twilio's names, None left out. The class gives a ``Request``; a resource bound to a client runs it.
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
    """Make a list operation of a function that checks its filters and names the path: the twin of :class:`operation`.

    The class gives a ``Listing``; bound to a client it gives an iterator over all pages, lazily, in constant memory.
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
    """Give the definition behind ``Messages.create`` and its like, as read on the class."""
    found = getattr(request, "definition", None)
    if not isinstance(found, Definition):
        raise TypeError(f"{request!r} is not an operation: give it as read on the class, such as Messages.create")
    return found
