from worker import settings, tasks

tasks.run(settings.load())
