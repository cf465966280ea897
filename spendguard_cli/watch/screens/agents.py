"""All agents: who spends how fast, what is left, who holds what."""

from rich.text import Text
from textual.app import ComposeResult

from spendguard_cli.watch.screens.view import View
from spendguard_cli.watch.subject import Subject
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon.text import safe


class AgentsView(View):
    """The first view."""

    def compose(self) -> ComposeResult:
        """One table."""
        yield LineTable(None, self._line, id="agents")

    def draw(self) -> None:
        """Show all rows."""
        self.query_one(LineTable).show(list(self.board.rows))

    def subject(self) -> Subject:
        """Return the agent under the cursor."""
        return Subject(agent_id=self.query_one(LineTable).key)

    def _line(self, agent_id: str, _: int) -> Text:
        row = self.board.rows[agent_id]
        return Text(f"{safe(row.agent.name)} {row.money.remaining_usd}")
