"""`glass-edge adapter webhook`: events posted to an HTTPS server.

Promises: those of `adapter_run`.
"""

from __future__ import annotations

from glass_edge.cli.adapter_run import ConfigOption, DryRunOption, run_adapter


def webhook(*, config: ConfigOption, dry_run: DryRunOption = False) -> None:
    """Post each event to an HTTPS server, signed."""
    from glass_edge import __version__
    from glass_edge.adapters.webhook import WebhookSink, plan
    from glass_edge.config.adapter_webhook import load_webhook_adapter

    settings = load_webhook_adapter(config)
    agent = f"glass-edge/{__version__} ({settings.adapter})"
    run_adapter(settings, lambda: WebhookSink(settings.webhook, agent), plan, is_dry=dry_run)
