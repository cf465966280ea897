"""Where a call's life is looked up: the sidecar if it is up, and the journal of a sidecar of this machine.

The sidecar is asked first and the journal read after it, so that the journal has at least what the sidecar
told. Inside `exec` there is the sidecar alone, by the program's own key. Nothing is started for it.
"""

import difflib
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from spendguard_cli.explain import refusing, telling
from spendguard_cli.explain.call_ids import checked
from spendguard_cli.explain.life import Life, joined, of_call
from spendguard_cli.explain.story import Step, Story
from spendguard_cli.holder import is_held
from spendguard_cli.remedies import Way, ways_out
from spendguard_cli.session import UUID, Session
from spendguard_cli.ways_on import refs
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.system import SystemClock
from spendguard_daemon.text import safe

if TYPE_CHECKING:
    from spendguard_cli.client import Control
    from spendguard_cli.ledger.one_call import Search
    from spendguard_daemon import wire

LAST = "last"
CALLS_AT_HAND = 200
"""How many of an agent's latest calls are looked at for the beginning of an id."""


class Looker:
    """One look-up. `control` is None where no sidecar is up."""

    def __init__(self, session: Session):
        self.session = session
        self.notes: list[str] = []
        self.is_up = False
        self.control = self._control()
        self._everyone: list[wire.Agent] | None = None

    def story(self, ref: str, agent: str | None) -> Story:
        """Return the life of a call.

        Raises USAGE for what can be no id, CALL_NOT_FOUND, AMBIGUOUS_NAME with the ids, LEDGER_DAMAGED where
        it may be in the part of the ledger that cannot be read.
        """
        call_id = self._last(agent) if ref == LAST else checked(ref)
        if not UUID.fullmatch(call_id) and self.session.connection.in_exec:
            call_id = self._from_hand(call_id)
        found = self._search(call_id)
        if found is not None and not UUID.fullmatch(call_id):
            call_id = self._only(call_id, list(found.calls))
        asked = self._ask(call_id) if UUID.fullmatch(call_id) else None
        told = found.life(call_id) if found else None
        life = joined(told, asked)
        if life is None:
            raise self._unknown(call_id, found)
        life = self._timed(life)
        sources = (["sidecar"] if asked else []) + (["journal"] if told else [])
        damage = found.damage if found else []
        steps = self._steps(life)
        return Story.of(life, steps, sources=sources, damage=damage, notes=self.notes)

    def whole_id(self, begins: str) -> str:
        """Return the one id that begins so; raise CALL_NOT_FOUND, or AMBIGUOUS_NAME with the ids."""
        found = self._search(begins)
        call_id = self._only(begins, list(found.calls) if found else [])
        if not UUID.fullmatch(call_id):
            raise self._unknown(call_id, found)
        return call_id

    def _control(self) -> "Control | None":
        try:
            found = self.session.peek()
            if found is None and self.session.connection.local and is_held(self.session.connection.home):
                self.notes.append("a sidecar has the ledger open, but it does not answer")
                self.is_up = True
            return found
        except SpendGuardError as error:
            if self.session.connection.in_exec or not self.session.connection.local:
                raise
            self.notes.append(f"the sidecar could not be asked: {error.detail}")
            return None

    def _search(self, begins: str) -> "Search | None":
        """Search the journal of this machine's sidecar; None where there is none, or none for us."""
        if self.session.connection.in_exec or not self.session.connection.local:
            return None
        from spendguard_cli.ledger.one_call import is_large, search
        from spendguard_cli.ledger.places import home_ledger
        from spendguard_cli.progress import progress
        from spendguard_daemon.system import SystemDisk

        disk = SystemDisk()
        try:
            place = home_ledger(self.session.connection.home, disk)
            with progress("reading the ledger", shown=is_large(place.path, disk)) as advance:
                return search(place.path, begins, disk=disk, on_progress=advance)
        except SpendGuardError:
            return None  # no ledger there
        except OSError as error:
            self.notes.append(f"the ledger cannot be read: {error}")
            return None

    def _ask(self, call_id: str) -> Life | None:
        if self.control is None:
            return None
        try:
            call = self.control.call(call_id)
        except SpendGuardError as error:
            if error.code is not Code.CALL_NOT_FOUND:
                self._note_or_raise(error)
            return None
        life = of_call(call)
        try:
            return replace(life, agent_name=self.control.agent(life.agent_id).name)
        except SpendGuardError:
            return life  # deleted since

    def _note_or_raise(self, error: SpendGuardError) -> None:
        if self.session.connection.in_exec or not self.session.connection.local:
            raise error
        self.notes.append(f"the sidecar could not be asked: {error.detail}")

    def _only(self, begins: str, known: list[str]) -> str:
        """Return the one call whose id begins so, of the journal's or else of those at hand."""
        if len(known) == 1:
            return known[0]
        if known:
            raise SpendGuardError(
                Code.AMBIGUOUS_NAME,
                f"Several calls have an id that begins with {begins}: {', '.join(sorted(known)[:8])}",
                remedy="use one of these ids",
                facts={"call_ids": sorted(known)},
            )
        return self._from_hand(begins)

    def _from_hand(self, begins: str) -> str:
        """Return the one call at hand in the sidecar that begins so; what was typed where none does."""
        known = [call.call_id for call in self._at_hand() if call.call_id.startswith(begins)]
        return self._only(begins, known) if known else begins

    def _at_hand(self) -> "list[wire.Call]":
        calls: list[wire.Call] = []
        for agent in self._agents():
            try:
                calls += self.control.calls(agent, CALLS_AT_HAND) if self.control else []
            except SpendGuardError:
                continue  # deleted since
        return calls

    def _agents(self) -> list[str]:
        """Return the ids of the agents that can be asked about: inside `exec` only its own."""
        if self.session.connection.in_exec:
            from spendguard_cli.context import AGENT_ID

            own = self.session.env.get(AGENT_ID, "")
            return [own] if own else []
        return [one.agent_id for one in self._all()]

    def _all(self) -> "list[wire.Agent]":
        if self._everyone is None:
            try:
                self._everyone = self.control.agents() if self.control else []
            except SpendGuardError:
                self._everyone = []
        return self._everyone

    def _last(self, agent: str | None) -> str:
        if agent is None and self.session.connection.in_exec:
            agent = next(iter(self._agents()), None)
        if agent is None:
            raise SpendGuardError(
                Code.USAGE, "Whose last call? Name an agent", remedy="spendguard explain last --agent <agent>"
            )
        if self.control is not None:
            found = self.control.calls(self.session.agent_id(agent), 1)
            call_id = found[0].call_id if found else None
        else:
            call_id = self._last_in_journal(agent)
        if call_id is None:
            raise SpendGuardError(
                Code.CALL_NOT_FOUND,
                f"No call of agent {safe(agent)!r} is known",
                remedy="spendguard agent list",
            )
        return call_id

    def _last_in_journal(self, agent: str) -> str | None:
        from spendguard_cli.ledger.one_call import is_large, last_call
        from spendguard_cli.ledger.places import home_ledger
        from spendguard_cli.progress import progress
        from spendguard_daemon.system import SystemDisk

        disk = SystemDisk()
        place = home_ledger(self.session.connection.home, disk)
        with progress("reading the ledger", shown=is_large(place.path, disk)) as advance:
            return last_call(place.path, agent, disk=disk, on_progress=advance)

    def _unknown(self, call_id: str, found: "Search | None") -> SpendGuardError:
        if found is not None and found.damage:
            return SpendGuardError(
                Code.LEDGER_DAMAGED,
                f"The ledger is damaged, and call {call_id} is not in what can be read: {found.damage[0]}",
                remedy="spendguard ledger verify",
            )
        near = difflib.get_close_matches(call_id, [call.call_id for call in self._at_hand()], n=1)
        agents = self._agents() if self.session.connection.in_exec else list(refs(self._all()).values())
        listed = f"spendguard agent get {agents[0] if len(agents) == 1 else '<agent>'}"
        listed += " lists an agent's latest calls"
        if not self.session.connection.in_exec:
            listed += "; of one that named no agent: spendguard doctor 400, or 401"
        kept = "of calls refused together only the first is kept, and none that named no agent"
        return SpendGuardError(
            Code.CALL_NOT_FOUND,
            f"Call not found: {call_id}; {f'did you mean {near[0]}?' if near else kept}",
            remedy=f"spendguard explain {near[0]}" if near else listed,
        )

    def _timed(self, life: Life) -> Life:
        """Add to a call in flight for how long."""
        if life.held is None or life.ended is not None or self.control is None:
            return life
        age_ns = SystemClock().wall_ns() - round(datetime.fromisoformat(life.held.at).timestamp()) * 10**9
        return replace(life, age_seconds=max(0, age_ns // 10**9))

    def _steps(self, life: Life) -> list[Step]:
        operator = not self.session.connection.in_exec
        if life.turned is None:
            return list(telling.steps(life, operator=operator, up=self.is_up or self.control is not None))
        ways = self._ways(life) if operator else []
        return list(refusing.steps(life, life.turned, ways))

    def _ways(self, life: Life) -> list[Way]:
        """Return the ways out by the agent's money now."""
        if life.turned is None:
            return []
        agent = next((one for one in self._all() if one.agent_id == life.agent_id), None)
        ref = refs(self._all()).get(life.agent_id, life.agent_id)
        own: dict[str, Fact] = {"call_id": life.call_id, "run_id": life.run_id}
        own |= {"provider": life.provider} if life.provider else {}
        own |= {"model": life.model} if life.model else {}
        try:
            daemon = self.control.daemon_budget() if self.control else None
        except SpendGuardError:
            daemon = None
        return ways_out(life.turned.code, own | dict(life.turned.facts), agent, ref=ref, daemon=daemon)


def whole_id(session: Session, ref: str) -> str:
    """Return a call's id, of which `ref` may be the beginning; the sidecar is started for one.

    Raises USAGE for what can be no id, CALL_NOT_FOUND, AMBIGUOUS_NAME with the ids.
    """
    call_id = ref if UUID.fullmatch(ref) else checked(ref)
    if UUID.fullmatch(call_id):
        return call_id
    session.control  # noqa: B018 - calls at hand are asked of a sidecar that is up
    return Looker(session).whole_id(call_id)
