"""Let a closed terminal or a kill end a tool as Ctrl-C does."""

import signal


def stop_like_ctrl_c() -> None:
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP.

    The tools start long jobs in process groups of their own and end them in ``finally``; a signal's
    default action would leave the job running. What is ignored, as under ``nohup``, stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
