"""Takes in the results of actions: messages, progress, answers that a question waits for, and what
was fetched (pure)."""

from dataclasses import replace

from poolq.dashboard import fetching, questions
from poolq.dashboard.action_runner import PROGRESS, ActionResult
from poolq.dashboard.screen_state import Action, ScreenState


def take(result: ActionResult, state: ScreenState, now: float) -> None:
    """Change the state of the screen by a result. `now` is in monotonic seconds."""
    action = result.action
    if action == state.fetching:
        state.fetching = None
    if action.kind in ("count", "find"):
        _take_answer(result, state, now)
    elif result.level == PROGRESS:
        state.progress = result.text
    elif action.kind not in fetching.FETCHES:
        state.progress = ""
        undo = _undo(action) if result.level == "info" else ""
        state.show_message(result.text + undo, now, result.level)
        fetching.outdate(state)
    elif result.level == "error":
        fetching.fail(state, action, result.text, now)
    else:
        fetching.take(state, action, result.found, now)
    if action == state.outdated:
        fetching.outdate(state)


def _undo(action: Action) -> str:
    """Name the key that takes back what an action has done, if there is one."""
    match action.kind:
        case "scale" if action.target in ("+1", "-1"):
            return f"; {'-' if action.target == '+1' else '+'} takes that back"
        case "pause" | "resume":
            other = "resume" if action.kind == "pause" else "pause"
            return f"; p {other}s it" if action.target else f"; :{other} takes that back"
    return ""


def _take_answer(result: ActionResult, state: ScreenState, now: float) -> None:
    """Let the user answer the question that has waited for the number of jobs, or for a job. A
    question that was closed meanwhile stays closed."""
    asked = state.question
    if asked is None or asked.counts != result.action:
        return
    if result.level == PROGRESS:
        state.question = replace(asked, text=result.text)
        return
    state.question = None
    if result.found is None:
        state.show_message(result.text, now, result.level)
        return
    if result.action.kind == "find":
        state.take_up(questions.on_job(result.action.to, *result.found), now)
    else:
        state.take_up(questions.counted(result.action, result.found), now)
