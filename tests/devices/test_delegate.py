"""Delegates with options, as one text."""

from __future__ import annotations

import pytest

from mnas.devices.delegate import Delegate, delegate_text, same_delegate
from mnas.errors import InputError


@pytest.mark.parametrize(
    "delegate",
    [
        Delegate("xnnpack"),
        Delegate("gpu", precision_loss_allowed="no"),
        Delegate("nnapi", accelerator="qti-dsp"),
        Delegate("external", library="/a folder/lib'x.so", options="a:b c;d:/e", sha256="ab" * 32),
    ],
)
def test_the_text_is_read_back(delegate: Delegate) -> None:
    assert Delegate.parse(str(delegate)) == delegate


def test_the_hash_of_a_library_may_be_unknown_and_nothing_else() -> None:
    asked, hashed = "external library=/a.so", f"external library=/a.so sha256={'ab' * 32}"
    assert same_delegate(asked, hashed)
    assert same_delegate(hashed, asked)
    assert not same_delegate(hashed, hashed.replace("ab", "cd"))
    assert not same_delegate(asked, hashed.replace("/a.so", "/b.so"))
    assert not same_delegate("gpu", "gpu precision_loss_allowed=no")


def test_plain_names_stay_what_they_were() -> None:
    assert [str(Delegate.parse(name)) for name in ("none", "gpu", "nnapi")] == ["none", "gpu", "nnapi"]
    assert delegate_text("gpu") == "gpu"
    assert delegate_text("gpu", gpu_precision_loss_allowed="yes") == "gpu"  # the program's default
    assert delegate_text("gpu", gpu_precision_loss_allowed="no") == "gpu precision_loss_allowed=no"
    assert Delegate.parse("gpu").settings == {}


@pytest.mark.parametrize(
    ("delegate", "options", "message"),
    [
        (
            "xnnpack",
            {"nnapi_accelerator": "qti-dsp"},
            "--nnapi-accelerator needs --delegate nnapi; got --delegate xnnpack",
        ),
        ("nnapi", {"nnapi_accelerator": "a b"}, "expected a name, such as qti-dsp"),
        ("nnapi", {"gpu_precision_loss_allowed": "no"}, "needs --delegate gpu"),
        ("gpu", {"gpu_precision_loss_allowed": "maybe"}, "expected yes or no"),
        ("gpu", {"external_delegate": "x.so"}, "--external-delegate needs --delegate external"),
        ("external", {"external_delegate_options": "a:b"}, "needs --external-delegate PATH"),
        ("external", {"external_delegate": "x", "external_delegate_options": "a:b:c"}, "no further colons"),
    ],
)
def test_options_that_do_not_belong_together(delegate: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        delegate_text(delegate, **options)


def test_text_that_is_no_delegate() -> None:
    with pytest.raises(InputError, match="gpu has no accelerator"):
        Delegate.parse("gpu accelerator=x")
    assert Delegate.parse("gpu 'x").name == "gpu 'x"  # which no device has
