"""The part of a report in the terminal that goes beyond a study's summary: devices, blocks, measurements, family."""

from __future__ import annotations

from typing import Any

from mnas.cli import common


def show_details(document: dict[str, Any]) -> None:
    """What is known of the winner's latency, predicted and measured, and of its family."""
    for device in document["devices"]:
        print(_device(device))
    timed = any(block["latency_ms"] is not None for block in document["blocks"])
    if timed:
        total = sum(block["latency_ms"] for block in document["blocks"])
        rows = [[*_block(block), f"{block['latency_ms'] / total:.0%}"] for block in document["blocks"]]
        common.table("The winner, block by block", ["block", "ms", "parameters", "multiply-adds", "of the time"], rows)
    for bench in document["benches"]:
        print(_bench(bench))
    if document["family"]:
        columns = ["network", "pixels", "accuracy", "ms", "parameters", "multiply-adds"]
        common.table("The family", columns, [_member(member) for member in document["family"]])


def _device(device: dict[str, Any]) -> str:
    """The winner on one device, and its table's report card in a line."""
    if device["latency_ms"] is None:
        said = f"{device['name']}: the winner's interval is not known, its latency table is gone or another one."
    else:
        low, high = device["interval_ms"]
        said = (
            f"{device['name']}: {device['latency_ms']:.3f} ms predicted, 90 % interval {low:.3f} to {high:.3f} ms, "
            f"{device['budget_ms']:g} ms allowed."
        )
    card = device["report_card"]
    if card is None:
        return said
    return (
        f"{said}\n  Its table is {card['mape']:.1%} off on average over {card['num_networks']} networks that it never "
        f"saw, {card['within_5_percent']:.0%} within 5 %, Kendall's tau {card['kendall_tau']:.3f}; the device repeats "
        f"itself to {card['repeatability']:.1%}."
    )


def _block(block: dict[str, Any]) -> list[str]:
    name = f"{block['name']}: {block['key'].split(' ')[1]}"
    return [name, f"{block['latency_ms']:.4f}", f"{block['params']:,}", f"{block['madds']:,}"]


def _bench(bench: dict[str, Any]) -> str:
    said = f"Measured: {bench['file']} takes {bench['quiet_ms']:.3f} ms, median {bench['median_ms']:.3f} ms"
    if bench["ratio"] is None:
        return f"{said}."
    return f"{said}; {bench['ratio']:.2f} times the {bench['predicted_ms']:.3f} ms that were predicted."


def _member(member: dict[str, Any]) -> list[str]:
    accuracy = "-" if member["accuracy"] is None else f"{member['accuracy']:.4f}"
    latency = "-" if member["latency_ms"] is None else f"{member['latency_ms']:.3f}"
    costs = [f"{member['params']:,}", f"{member['madds']:,}"]
    return [member["name"], str(member["resolution"]), accuracy, latency, *costs]
