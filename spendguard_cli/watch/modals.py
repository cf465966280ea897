"""What stands over a view: a question that is asked once, and a call explained."""

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from spendguard_cli.explain.story import Story
from spendguard_cli.views.explaining import story
from spendguard_cli.watch.errands import Errand, Impossible, Question
from spendguard_cli.watch.screens.page import Page

RECKON_SECONDS = 0.5
INPUT_LENGTH_MAX = 200

Reckon = Callable[[str | None], Question | Impossible]


class Ask(ModalScreen[Errand | None]):
    """One question, with its consequences by what is typed and by the board as it is at this moment.

    Answers with the errand that was shown, once, or with None. What is asked for has the focus, and where the
    deed is grave Enter only goes on to the button. Is nothing asked for, the button that does nothing has the
    focus then, and `y` does it.
    """

    DEFAULT_CSS = """
    Ask { align: center middle; }
    Ask #box {
        width: 76; max-width: 100%; height: auto; max-height: 100%;
        background: $panel; border: round $primary; padding: 0 1;
    }
    Ask #text { height: auto; max-height: 65vh; scrollbar-size-vertical: 1; }
    Ask #says { height: auto; }
    Ask #label { height: 1; color: $text-muted; }
    Ask Input { padding: 0 1; background: $boost; }
    Ask #buttons { height: 1; margin-top: 1; }
    Ask Button {
        min-width: 12; margin-right: 2; padding: 0 1; background: $boost;
        &:focus { background: $accent; color: $background; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "no", "Do nothing", priority=True),
        Binding("y", "yes", "Do it"),
        Binding("n,q", "no", "Do nothing"),
        Binding("left", "focus_previous", show=False),
        Binding("right", "focus_next", show=False),
        Binding("down", "scroll(1)", show=False),
        Binding("up", "scroll(-1)", show=False),
    ]

    def __init__(self, reckon: Reckon, first: Question) -> None:
        super().__init__()
        self._reckon, self._question = reckon, first
        self._answered = False

    def compose(self) -> ComposeResult:
        """What will be done, what may be typed, and two buttons."""
        question = self._question
        with Vertical(id="box") as box:
            # a name in it is text, whatever it holds; of `.markup` not all is escaped
            box.border_title = Content(question.title)
            grave = "enter twice" if question.field else "y"
            box.border_subtitle = f"{grave if question.grave else 'enter'} does it, esc does not"
            if question.field is not None:
                yield Static(f"{question.field.label}:", id="label", markup=False)
                yield Input(question.field.default, max_length=INPUT_LENGTH_MAX, compact=True)
            with VerticalScroll(id="text", can_focus=False):
                yield Static("", id="says", markup=False)
            with Horizontal(id="buttons"):
                yield Button(question.verb, id="yes", compact=True)
                yield Button("do nothing", id="no", compact=True)

    def on_mount(self) -> None:
        """Show the consequences; they are reckoned anew as the board goes on."""
        self.reckon()
        self.set_interval(RECKON_SECONDS, self.reckon)
        if self._question.field is not None:
            self.query_one(Input).focus()
        elif self._question.grave:
            self.query_one("#no").focus()
        else:
            self.query_one("#yes").focus()

    def reckon(self) -> None:
        """Show what would be done now, unless the question is being taken down."""
        if not self.display:
            return
        fields = self.query(Input)
        found = self._reckon(fields.first().value if fields else None)
        if isinstance(found, Impossible):
            self._question = Question(self._question.title, self._question.verb, wrong=found.why)
        else:
            self._question = found
        said = Text()
        for line in self._question.says:
            said.append(f"- {line}\n")
        if self._question.wrong:
            said.append(self._question.wrong, style="bold red")
        said.rstrip()
        self.query_one("#says", Static).update(said)
        self.query_one("#yes", Button).disabled = self._question.errand is None

    def on_input_changed(self, _: Input.Changed) -> None:
        """Reckon anew as one types."""
        self.reckon()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Enter does it; where that is grave it only goes on to the button."""
        if self._question.grave:
            self.query_one("#yes").focus()
        else:
            self.action_yes()

    def on_button_pressed(self, pressed: Button.Pressed) -> None:
        """A button, by key or by mouse."""
        pressed.stop()
        if pressed.button.id == "yes":
            self.action_yes()
        else:
            self.action_no()

    def action_scroll(self, lines: int) -> None:
        """Scroll the consequences, where they do not fit."""
        self.query_one("#text", VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_yes(self) -> None:
        """Answer with what is shown, once; what means nothing is not answered with."""
        errand = self._question.errand
        if errand is not None and not self._answered:
            self._answered = True
            self.dismiss(errand)

    def action_no(self) -> None:
        """Answer that nothing is to be done."""
        if not self._answered:
            self._answered = True
            self.dismiss(None)


class Explained(Page):
    """The life of one call."""

    DEFAULT_CSS = "Explained VerticalScroll { width: 100; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("e", "dismiss", "Close")]

    def __init__(self, told: Story) -> None:
        super().__init__("explain", story(told))
