"""The definition of an allocation: what a search without any cleverness finds first."""

from __future__ import annotations


def plain_search(devices, wanted, match, distinct, limit):
    """The first solution by trying everything, with every rule checked from scratch: the definition of the answer.

    `devices` are (group, size, in use); `wanted` are (least size, count).
    """
    slots = [(number, least) for number, (least, count) in enumerate(wanted) for _ in range(count)]

    def allowed(chosen):
        groups = [devices[place][0] for place in chosen]
        used = sum(size for _, size, in_use in devices if in_use) + sum(devices[place][1] for place in chosen)
        return (
            (not match or (None not in groups and len(set(groups)) <= 1))
            and (not distinct or (None not in groups and len(set(groups)) == len(groups)))
            and used <= limit
        )

    def extend(chosen):
        if len(chosen) == len(slots):
            return chosen
        number, least = slots[len(chosen)]
        same = chosen and slots[len(chosen) - 1][0] == number
        for place in range(chosen[-1] + 1 if same else 0, len(devices)):
            _, size, in_use = devices[place]
            if in_use or place in chosen or size < least or not allowed([*chosen, place]):
                continue
            if found := extend([*chosen, place]):
                return found
        return None

    return extend([])
