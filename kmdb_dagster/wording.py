"""Numbers in sentences, as people write them: "1 revision", "revision 45", "revisions 45..50"."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 revision``, ``1,200 revisions``.

    Args:
        number: how many.
        noun: the singular.
        plural: the plural. Default: the noun with an s, or with ies for a y.
    """
    regular = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural or regular}"


def named_range(first: int, last: int) -> str:
    """Return a range of revisions: ``revision 45`` or ``revisions 45..50``."""
    return f"revision {first}" if first == last else f"revisions {first}..{last}"


def named_ranges(ranges: str) -> str:
    """Return ranges, as `km_export.layout.describe_ranges` writes them, with their noun."""
    return f"revision {ranges}" if ranges.isdecimal() else f"revisions {ranges}"
