"""Who runs a kernel, when, and in which memory.

Reading order:

    thread_count.py   how many threads a call may use
    threads.py        `run(kernel, tasks, ...)`
    worker_pool.py    threads that spin or sleep until there is a call  <- where a thread waits
    capture.py        calls that are recorded, then executed one after another, or replayed
    buffer_pool.py    memory for results, reused
    precompile.py     many kernels compiled at once, in several processes
    process_lock.py   a lock that is free in a forked child
"""
