"""The payer's page behind a code on the counter: what a wallet's browser opens at ``/q/ID``."""
