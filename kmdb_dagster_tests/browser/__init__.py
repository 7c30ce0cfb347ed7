"""The UI as an operator uses it, in a real browser: `make browser`. It needs Debian's chromium and Playwright."""
