"""Who runs a kernel, when, and in which memory. Reading order:

    thread_count.py   how many threads a call may use
    threads.py        `run(kernel, tasks, ...)`
    worker_pool.py    threads that wait for calls, without Python      <- where a thread waits
    capture.py        calls that are recorded, to be executed one after another, or replayed
    buffer_pool.py    memory for results, used again
    precompile.py     many kernels compiled at once, in several processes
"""
