"""Tables, statements and pictures as Dagster metadata."""

import re
from collections.abc import Iterable, Sequence
from datetime import date

import dagster as dg

from kmdb_dagster.warehouse.maintenance.table_sizes import TableSize
from kmdb_dagster.warehouse.maintenance.time_partitions import PARTITIONED_TABLES, Partition, Plan

MAX_PARTITIONS_SHOWN = 200

EMBEDDED_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")
"""A picture within Markdown."""


def time_partitions_table(partitions: Sequence[Partition]) -> dg.TableMetadataValue:
    """Show the rows and bytes of each time partition, all tables side by side; the latest ones if there are many."""
    tables = [table for table in PARTITIONED_TABLES if any(partition.table == table for partition in partitions)]
    columns = [
        dg.TableColumn("partition", "string"),
        dg.TableColumn("before", "string"),
        *(dg.TableColumn(f"{table}_{what}", "int") for table in tables for what in ("rows", "bytes")),
    ]
    # A table may lack partitions that others have: old facts are dropped, old aliases never.
    zeros: dict[str, str | int] = {column.name: 0 for column in columns[2:]}
    records = [dg.TableRecord(zeros | row) for row in _side_by_side(partitions)[-MAX_PARTITIONS_SHOWN:]]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def new_partitions_table(plans: Sequence[Plan]) -> dg.TableMetadataValue:
    """Show for each table how many time partitions are added, and the first and the last of them."""
    columns = [dg.TableColumn(name, "int") for name in ("existing", "added")]
    names = [dg.TableColumn(name, "string") for name in ("first", "last", "covered_until")]
    records = [
        dg.TableRecord(
            {
                "table": plan.table,
                "existing": plan.existing,
                "added": len(plan.bounds),
                "first": plan.bounds[0].name if plan.bounds else "",
                "last": plan.bounds[-1].name if plan.bounds else "",
                "covered_until": str(plan.bounds[-1].before) if plan.bounds else "as before",
            }
        )
        for plan in plans
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn("table", "string"), *columns, *names]))


def table_sizes_table(tables: Sequence[TableSize]) -> dg.TableMetadataValue:
    """Show the estimated rows and bytes of each table."""
    columns = [dg.TableColumn("table", "string"), dg.TableColumn("rows", "int"), dg.TableColumn("bytes", "int")]
    records = [dg.TableRecord(table._asdict()) for table in tables]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def picture_links(context: dg.AssetExecutionContext, markdown: str) -> dict[str, dg.MarkdownMetadataValue]:
    """Return metadata that links to the pictures within the Markdown of this materialization.

    Dagster's UI shows Markdown of less than 1,000 characters at once, and longer Markdown behind a button. A picture
    within it is longer, a link to one is not. Our webserver serves the pictures (dagster_ext/pictures.py); behind
    another one, the links show nothing.
    """
    place = f"/pictures/{context.run.run_id}/{context.asset_key.to_user_string()}"
    numbers = range(len(EMBEDDED_PNG.findall(markdown)))
    links = (f"[![picture]({place}/{number}/small)]({place}/{number})" for number in numbers)
    return {"pictures": dg.MetadataValue.md("\n\n".join(links))}


def sql_statements(statements: Sequence[str]) -> dg.MarkdownMetadataValue:
    """Show SQL statements as Markdown code blocks."""
    return dg.MetadataValue.md("\n".join(f"```sql\n{line}\n```" for line in statements) or "none")


def _side_by_side(partitions: Iterable[Partition]) -> list[dict[str, str | int]]:
    rows: dict[tuple[date, str], dict[str, str | int]] = {}
    for part in partitions:
        until = str(part.before or "later")
        row = rows.setdefault((part.before or date.max, part.name), {"partition": part.name, "before": until})
        row |= {f"{part.table}_rows": part.rows, f"{part.table}_bytes": part.bytes}
    return [rows[key] for key in sorted(rows)]
