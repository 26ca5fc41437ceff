"""Parts: trees of settings from signatures, checked and built."""

import dataclasses
from typing import Literal, NamedTuple

import pytest

from jaxmeta import registry
from jaxmeta.parts import (
    Part,
    SettingError,
    as_part,
    built,
    checked,
    default_tree,
    described,
    descriptions,
    extends,
    kind_of,
    nested,
    overlay,
    parameters,
    part,
    plain_type,
)


class Engine(NamedTuple):
    """A kind of part."""

    name: str
    settings: dict


class Wheel(NamedTuple):
    """A kind of part inside a part."""

    size: float


def wheel(*, size: float = 1.0) -> Wheel:
    """A wheel.

    Args:
      size: of it, > 0.
    """
    if size <= 0:
        raise ValueError(f"size: got {size}; must be positive")
    return Wheel(size)


def petrol(place, *, power: float = 1.0, cylinders: int = 4, wheel: Wheel = part(wheel)) -> Engine:
    """An engine.

    Args:
      place: where it is.
      power: of it, > 0.
      cylinders: how many, ≥ 1.
      wheel: what it turns.
    """
    if place is None:
        raise ValueError("place: got None; an engine must be somewhere")
    if power <= 0:
        raise ValueError(f"power: got {power}; must be positive")
    return Engine("petrol", {"place": place, "power": power, "cylinders": cylinders, "wheel": built(wheel)})


def electric(*, power: float = 2.0, cells: tuple[int, ...] = (3,)) -> Engine:
    """Another engine."""
    return Engine("electric", {"power": power, "cells": cells})


def car(
    place,
    *,
    engine: Engine = part(petrol, power=3.0),
    spare: Engine | None = None,
    colour: Literal["red", "blue"] = "red",
    doors: int | None = None,
    horn=len,
) -> tuple:
    """A car.

    Args:
      place: where it is.
      engine: moves it.
      spare: another engine, if any.
      colour: of it.
      doors: how many.
      horn: makes a noise.
    """
    return built(engine, place, "more than it takes"), built(spare, place), colour, doors, horn


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    kinds = {
        "Engine": {"petrol": registry.Row(petrol), "electric": registry.Row(electric)},
        "Wheel": {"wheel": registry.Row(wheel)},
    }
    for kind, rows in kinds.items():
        monkeypatch.setitem(registry.PARTS, kind, rows)


PETROL = {"use": "petrol", "power": 3.0, "cylinders": 4, "wheel": {"use": "wheel", "size": 1.0}}
CAR = {"engine": PETROL, "spare": None, "colour": "red", "doors": None}


def test_the_tree_of_a_factory_holds_its_signature_s_defaults_and_those_of_its_parts():
    """A function cannot be written down, and is left out."""
    assert default_tree(car) == CAR


def test_a_part_is_a_factory_and_settings_that_it_has():
    assert part(wheel, size=2.0) == Part(wheel, {"size": 2.0})
    assert built(part(wheel, size=2.0)) == Wheel(2.0)
    with pytest.raises(SettingError, match=r"^siz: unknown setting; did you mean size\? wheel has size$"):
        part(wheel, siz=2.0)
    with pytest.raises(SettingError, match=r"^power: unknown setting\. no_settings has no settings$"):
        part(no_settings, power=1)


def no_settings() -> Wheel:
    return Wheel(0.0)


def test_what_is_built_passes_through_and_parts_get_as_much_context_as_they_take():
    ready = Engine("mine", {})
    assert built(ready, "here") is ready
    assert built(None, "here") is None
    engine, spare, *_ = car("here")
    assert engine.settings == {"place": "here", "power": 3.0, "cylinders": 4, "wheel": Wheel(1.0)}
    assert spare is None
    assert car("here", engine=ready)[0] is ready
    assert car("here", engine=part(electric, cells=(1, 2)))[0].settings == {"power": 2.0, "cells": (1, 2)}


def test_a_complete_tree_is_a_part_that_builds_the_same():
    assert built(as_part(car, CAR), "here") == car("here")


@pytest.mark.parametrize(
    ("given", "place", "value"),
    [
        ({"engine": {"power": 5}}, ("engine", "power"), 5.0),
        ({"engine": {"wheel": {"size": 2}}}, ("engine", "wheel", "size"), 2.0),
        ({"engine": "electric"}, ("engine",), {"use": "electric", "power": 2.0, "cells": (3,)}),
        ({"engine": {"use": "electric", "cells": [1, 2]}}, ("engine", "cells"), (1, 2)),
        ({"engine": Part(electric, {"power": 7.0})}, ("engine",), {"use": "electric", "power": 7.0, "cells": (3,)}),
        ({"spare": "petrol"}, ("spare",), {**PETROL, "power": 1.0}),
        ({"spare": {"use": "electric", "power": 9.0}}, ("spare", "power"), 9.0),
        ({"spare": "none"}, ("spare",), None),
        ({"doors": 3}, ("doors",), 3),
        ({"doors": "none"}, ("doors",), None),
        ({"colour": "blue"}, ("colour",), "blue"),
    ],
)
def test_settings_are_laid_over_a_tree(given, place, value):
    found = overlay(car, CAR, given)
    for name in place:
        found = found[name]
    assert found == value
    assert type(found) is type(value)


def test_another_factory_drops_the_settings_of_the_first_and_the_same_one_keeps_them():
    tree = overlay(car, CAR, {"engine": {"power": 5.0, "cylinders": 8}})
    other = overlay(car, tree, {"engine": "electric"})
    assert other["engine"] == {"use": "electric", "power": 2.0, "cells": (3,)}
    assert overlay(car, tree, {"engine": {"use": "petrol", "power": 6.0}})["engine"]["cylinders"] == 8
    # Back again: those of the car's own default.
    assert overlay(car, other, {"engine": "petrol"}) == CAR
    assert CAR["engine"]["cylinders"] == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engin": {}}, r"^engin: unknown setting; did you mean engine\? car has engine, spare, colour, doors$"),
        ({"horn": len}, r"^horn: unknown setting"),
        ({"engine": {"powr": 1}}, r"^engine\.powr: unknown setting; did you mean power\? petrol has power, cylinders"),
        ({"engine": {"wheel": {"siz": 1}}}, r"^engine\.wheel\.siz: unknown setting; did you mean size\?"),
        ({"engine": {"use": "electric", "cylinders": 1}}, r"^engine\.cylinders: unknown setting\. electric has"),
        ({"engine": "petrl"}, r"^engine: got 'petrl'; did you mean petrol\? Known: petrol, electric$"),
        ({"engine": {"use": 3}}, r"^engine: got 3\. Known: petrol, electric$"),
        ({"engine": 3}, r"^engine: got 3; must be one of petrol, electric, or a table of its settings$"),
        ({"engine": None}, r"^engine: got None; must be one of petrol, electric, or a table of its settings$"),
        ({"spare": {"power": 1.0}}, r"^spare\.use: not given; must be one of petrol, electric$"),
        ({"engine": {"power": "big"}}, r"^engine\.power: got 'big'; must be a number$"),
        ({"engine": {"power": True}}, r"^engine\.power: got True; must be a number$"),
        ({"engine": {"power": float("inf")}}, r"^engine\.power: got inf; must be finite$"),
        ({"engine": {"cylinders": 2.0}}, r"^engine\.cylinders: got 2\.0; must be a whole number$"),
        ({"engine": {"cylinders": True}}, r"^engine\.cylinders: got True; must be a whole number$"),
        ({"engine": {"cylinders": {"many": 1}}}, r"^engine\.cylinders: got {'many': 1}; must be a whole number$"),
        ({"engine": {"use": "electric", "cells": [1, "a"]}}, r"^engine\.cells: got 'a'; must be a whole number$"),
        ({"engine": {"use": "electric", "cells": 1}}, r"^engine\.cells: got 1; must be a list of whole numbers$"),
        ({"colour": "green"}, r"^colour: got 'green'; must be one of red, blue$"),
        ({"doors": 2.5}, r"^doors: got 2\.5; must be a whole number or none$"),
    ],
)
def test_what_does_not_fit_is_named_by_its_full_path(given, message):
    with pytest.raises(SettingError, match=message):
        overlay(car, CAR, given)


@pytest.mark.parametrize(
    ("given", "place", "message"),
    [
        ({"engine": {"power": -1}}, "here", r"^engine\.power: got -1\.0; must be positive$"),
        ({"engine": {"wheel": {"size": 0}}}, "here", r"^engine\.wheel\.size: got 0\.0; must be positive$"),
        # What is wrong with the context is no setting.
        ({}, None, r"^engine: place: got None; an engine must be somewhere$"),
    ],
)
def test_what_a_factory_refuses_is_named_by_its_full_path(given, place, message):
    with pytest.raises(SettingError, match=message):
        built(as_part(car, overlay(car, CAR, given)), place)


def test_without_a_tree_a_factory_s_own_error_is_raised():
    with pytest.raises(ValueError, match=r"^size: got 0; must be positive$") as caught:
        built(part(wheel, size=0))
    assert not isinstance(caught.value, SettingError)


def test_a_factory_that_extends_another_has_its_settings_but_for_some():
    @extends(petrol, without=("cylinders",))
    def diesel(place, *, turbo: bool = False, power: float = 9.0, **settings) -> Engine:
        """An engine, too.

        Args:
          turbo: more of it.
        """
        return petrol(place, power=power, cylinders=6, **settings)

    assert {name: one.default for name, one in parameters(diesel).items() if name != "wheel"} == {
        "turbo": False,
        "power": 9.0,
    }
    assert list(parameters(diesel)) == ["turbo", "power", "wheel"]
    assert kind_of(parameters(diesel)["wheel"].annotation) == "Wheel"
    assert built(part(diesel, power=2.0, wheel=Wheel(4.0)), "x").settings == {
        "place": "x",
        "power": 2.0,
        "cylinders": 6,
        "wheel": Wheel(4.0),
    }
    said = descriptions(diesel)
    assert (said["turbo"], said["power"]) == ("more of it.", "of it, > 0.")
    with pytest.raises(SettingError, match=r"^cylinders: unknown setting"):
        part(diesel, cylinders=3)


def test_parameters_are_the_keyword_only_ones_with_their_types():
    found = parameters(car)
    assert list(found) == ["engine", "spare", "colour", "doors", "horn"]
    assert [kind_of(found[name].annotation) for name in ("engine", "spare", "colour")] == ["Engine", "Engine", None]
    assert plain_type(found["doors"].annotation) == int | None
    assert plain_type(found["horn"].annotation) is None


def test_a_setting_without_a_default_is_refused():
    def bare(*, power: float) -> Engine:
        return Engine("bare", {"power": power})

    with pytest.raises(SettingError, match=r"^power: bare gives it no default, and every setting needs one$"):
        default_tree(bare)


def test_a_default_that_is_built_already_stays():
    ready = Engine("ready", {})

    def other(*, engine: Engine = ready, doors: int = 2) -> tuple:
        return engine, doors

    assert default_tree(other) == {"doors": 2}
    assert built(as_part(other, {"doors": 3})) == (ready, 3)


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, float, 1.0),
        (1, int, 1),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, 2], tuple[float, float], (1.0, 2.0)),
        ((), tuple[int, ...], ()),
        (None, float | None, None),
        ("none", float | None, None),
        ("fast", Literal["fast", "slow"], "fast"),
        ("none", str, "none"),
        (2, float | str, 2.0),
        (False, bool, False),
    ],
)
def test_values_are_taken_as_their_types_have_them(value, annotation, expected):
    found = checked("x", value, annotation)
    assert found == expected
    assert type(found) is type(expected)
    if isinstance(expected, tuple):
        assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (True, int),
        (True, float),
        (1.0, int),
        (1, bool),
        ("1", int),
        (None, float),
        ([1, 2, 3], tuple[float, float]),
        ("12", tuple[int, ...]),
        (3, Literal["fast", "slow"]),
        (float("nan"), float | None),
    ],
)
def test_values_of_other_types_are_refused(value, annotation):
    with pytest.raises(SettingError, match=r"^a\.b: got "):
        checked("a.b", value, annotation)


def test_types_are_told_in_words():
    assert described(float | None) == "a number or none"
    assert described(tuple[float, float]) == "2 numbers"
    assert described(Literal["a", "b"]) == "one of a, b"


@pytest.mark.parametrize(
    ("flat", "tree"),
    [
        ({"a.b": 1}, {"a": {"b": 1}}),
        ({"a.b": 1, "a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": "x", "a.b": 1}, {"a": {"use": "x", "b": 1}}),
        ({"a.b": 1, "a": "x"}, {"a": {"b": 1, "use": "x"}}),
        ({"a.b.c": 1, "a": {"b": {"d": 2}}}, {"a": {"b": {"c": 1, "d": 2}}}),
        ({"a": {"b.c": 1}}, {"a": {"b": {"c": 1}}}),
        ({"a.b": 1, "a.c": 2, "d": 3}, {"a": {"b": 1, "c": 2}, "d": 3}),
    ],
)
def test_dotted_names_are_nested_tables(flat, tree):
    assert nested(flat) == tree


def test_parts_are_values():
    assert dataclasses.replace(part(wheel), path="a") == Part(wheel, {}, "a")
