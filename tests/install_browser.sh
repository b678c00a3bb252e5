#!/bin/sh
# A Chromium for the browser tests: the system's if there is one, else apt's, else Playwright's.
set -eu
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq chromium >/dev/null && exit 0
fi
exec .venv/bin/python -m playwright install chromium
