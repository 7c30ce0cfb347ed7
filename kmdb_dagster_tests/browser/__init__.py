"""The UI as an operator uses it, in a real browser: `dev/test --browser`. It needs Debian's chromium and Playwright."""
