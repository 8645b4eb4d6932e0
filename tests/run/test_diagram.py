from agent.protocol.phase import Phase
from agent.run.diagram import document
from agent.run.machine import LIVES, RunMachine
from tests.support.places import ROOT


def test_document_is_what_the_machine_says() -> None:
    path = ROOT / "docs" / "state-diagram.md"
    assert path.read_text() == document(), "run: python -m agent.run.diagram > docs/state-diagram.md"


def test_every_phase_is_in_the_picture() -> None:
    text = document()
    assert all(phase.value in text for phase in Phase)
    final = {state.id for state in RunMachine.states if state.final}
    assert {phase.value for phase in Phase} - {phase.value for phase in LIVES} == final
