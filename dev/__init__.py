"""Tools of development: private servers, the demo and its UI, pictures of the documents.

Not part of the installed package, and imported by nothing in it.

* ``processes``: starting and ending processes that stand on their own.
* ``servers``: a private MariaDB, Redis and S3, for tests, benchmarks and the demo.
* ``fleet``: the processes that outlive a command, remembered in a file.
* ``site``: the demo's place: its folder, its settings, its servers, bucket, databases and daemon.
* ``report``: the demo's answers.
* ``demo``, ``ui``, ``stop``: the commands behind ``dev/demo``, ``dev/ui`` and ``dev/stop``.
"""
