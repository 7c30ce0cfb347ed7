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


def range_text(first: int, last: int) -> str:
    """Return a range: ``45`` or ``45..50``."""
    return str(first) if first == last else f"{first}..{last}"


def named_range(first: int, last: int) -> str:
    """Return a range of revisions with its noun: ``revision 45`` or ``revisions 45..50``."""
    return named_ranges(range_text(first, last))


def named_ranges(ranges: str) -> str:
    """Return ranges, as `km_export.layout.describe_ranges` writes them, with their noun."""
    return f"revision {ranges}" if ranges.isdecimal() else f"revisions {ranges}"


def shorten(text: str, max_length: int) -> str:
    """Cut a text that is too long after a line or a sentence, and end it with ``…``."""
    if len(text) <= max_length:
        return text
    kept = text[: max_length - 2]
    end = max(kept.rfind("\n"), kept.rfind(". ") + 1)
    # One sentence that is too long by itself is cut between two words.
    return f"{kept[:end] if end > 0 else kept.rpartition(' ')[0] or kept} …"
