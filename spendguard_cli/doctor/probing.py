"""What `doctor --probe` does before and around its call: whose money, which model, its price, a yes."""

import sys

from spendguard_cli.doctor import probe
from spendguard_cli.doctor.probe_call import ENDPOINTS, MOCK, MOCK_MODEL
from spendguard_cli.doctor.world import World
from spendguard_cli.pricing.cheapest import OUTPUT_TOKENS, Cheapest, cheapest
from spendguard_cli.prove import Found
from spendguard_cli.session import Session
from spendguard_cli.shapes import Probed
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.money import NUSD_PER_CENT, cents_ceil, format_usd
from spendguard_daemon.settings import PROVIDERS
from spendguard_daemon.system import SystemClock, SystemDisk
from spendguard_daemon.text import safe


def run(
    session: Session, *, provider: str | None, model: str | None, agent: str | None, yes: bool
) -> Probed | None:
    """Make the call; None where a person said no.

    Raises NOT_ALLOWED inside `exec`, NO_DAEMON where the sidecar hangs, USAGE where something is missing for
    a real call, and what the sidecar or the prices raise.
    """
    session.operator_only("doctor --probe")
    _not_hung(session)
    real = provider not in (None, MOCK)
    if not real and (model is not None or agent is not None):
        raise SpendGuardError(
            Code.USAGE,
            "The mock call has a model and an agent of its own; --model and --agent are for a real one",
            remedy="spendguard doctor --probe",
        )
    wanted = _real(session, str(provider), model, agent, yes) if real else _mock(session)
    if wanted is None:
        return None
    return probe.probe(
        session.control, wanted, lambda call_id: _journaled(session, call_id), session.out.warn
    )


def _not_hung(session: Session) -> None:
    """Raise NO_DAEMON for a sidecar that hangs: whoever wants to probe it has waited for it enough."""
    world = World(session)
    if world.is_own and world.control is None and world.behind_the_lock is Found.SILENT:
        raise SpendGuardError(
            Code.NO_DAEMON,
            "The sidecar hangs: the process that has the ledger open does not answer",
            remedy="spendguard doctor --check daemon",
        )


def _mock(session: Session) -> probe.Wanted:
    session.out.say(
        "sending one mock call through the whole path, paid by an agent made for it and deleted after it; "
        "it costs nothing"
    )
    return probe.Wanted(provider=MOCK, model=MOCK_MODEL, output_tokens=OUTPUT_TOKENS)


def _real(
    session: Session, provider: str, model: str | None, agent: str | None, yes: bool
) -> probe.Wanted | None:
    if provider not in PROVIDERS:
        raise SpendGuardError(
            Code.USAGE, f"{safe(provider)!r} is no provider", remedy=f"name one of {', '.join(PROVIDERS)}"
        )
    if agent is None:
        raise SpendGuardError(
            Code.USAGE,
            "A real call is paid by an agent's budget: say whose",
            remedy=f"spendguard doctor --probe --provider {provider} --agent <agent>",
        )
    agent_id = session.agent_id(agent)
    _check_key(session, provider)
    chosen = _cheapest(session, provider, model)
    session.out.say(
        f"a real call to {provider}:{chosen.model}, paid by agent {safe(agent)}: it costs at most "
        f"${format_usd(chosen.worst_nusd)}; its own key is limited to ${format_usd(_limit_nusd(chosen))}"
    )
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise SpendGuardError(
                Code.USAGE,
                "A real call costs real money, and nobody is here to say yes",
                remedy=f"spendguard doctor --probe --provider {provider} --agent {agent_id} --yes",
            )
        if not session.out.ask("Send it?"):
            session.out.say("nothing was sent")
            return None
    return probe.Wanted(
        provider=provider,
        model=chosen.model,
        output_tokens=chosen.output_tokens,
        agent_id=agent_id,
        worst_nusd=chosen.worst_nusd,
    )


def _check_key(session: Session, provider: str) -> None:
    """Raise PROVIDER_KEY_MISSING before anybody is asked about a call that could not be sent."""
    known = {one.name: one.key for one in session.control.status().providers}
    if known.get(provider) == "absent":
        raise SpendGuardError(
            Code.PROVIDER_KEY_MISSING,
            f"The sidecar has no key for {provider}: nothing was sent",
            remedy=f"spendguard provider set-key {provider}",
        )


def _limit_nusd(chosen: Cheapest) -> int:
    return cents_ceil(chosen.worst_nusd) * NUSD_PER_CENT


def _cheapest(session: Session, provider: str, model: str | None) -> Cheapest:
    """Choose by the document in force, as it was received and is verified again here."""
    from spendguard_cli.commands.pricing import archive_of

    session.local_only("doctor --probe --provider")
    sha256, now_ns = session.control.pricing().document_sha256, SystemClock().wall_ns()
    try:
        book = archive_of(session).book(sha256, now_ns)
    except FileNotFoundError:
        raise SpendGuardError(
            Code.PRICING_UNAVAILABLE,
            f"No valid price document: pricing/{sha256}.json is not in this home",
            remedy="spendguard pricing refresh",
        ) from None
    return cheapest(book, provider, ENDPOINTS[provider], model, now_ns)


def _journaled(session: Session, call_id: str) -> bool | None:
    """Tell whether a call's hold is in the journal on disk, None where that is not for us to read."""
    if not session.connection.local:
        return None
    from spendguard_cli.ledger.one_call import search

    try:
        path = session.connection.home.ledger
        found = search(path, call_id, disk=SystemDisk(), on_progress=lambda *_: None)
    except OSError:
        return None
    life = found.life(call_id)
    return life is not None and life.held is not None
