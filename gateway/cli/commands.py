"""Every command and group there is, in the order in which `--help` names them."""

import typer

from gateway.cli import (
    approvals,
    audit,
    brake,
    budgets,
    calls,
    manifest,
    policy,
    runs,
    scanning,
    serving,
    setup,
    tasks,
    upstream,
    wrapping,
)

app = typer.Typer(
    name="bascule",
    help="A gateway between MCP clients and their tool servers: every call judged, recorded before it runs, provable.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

COMMANDS = (
    setup.init,
    setup.add,
    setup.remove,
    serving.serve,
    wrapping.wrap,
    serving.doctor,
    scanning.scan,
    calls.call,
    calls.tools,
    serving.version,
)
GROUPS = (
    ("upstream", upstream.app),
    ("manifest", manifest.app),
    ("policy", policy.app),
    ("audit", audit.app),
    ("approvals", approvals.app),
    ("runs", runs.app),
    ("tasks", tasks.app),
    ("brake", brake.app),
    ("budgets", budgets.app),
)

for command in COMMANDS:
    app.command()(command)
for name, group in GROUPS:
    app.add_typer(group, name=name)
