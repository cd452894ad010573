"""The pages of `nightsweep view`, and the server that sends them.

Imports `storage` and `analysis`. The command hands in what only a command can do, as
`gallery.actions.Actions`.

| module | holds |
|---|---|
| `site`, `actions` | what the server is told when it starts |
| `security` | which requests it takes, and the headers of every answer |
| `pages`, `static_files`, `images` | the pages, their scripts, thumbnails and images |
| `api`, `changes_api`, `request_fields` | questions and changes, in JSON |
| `events`, `watching` | live updates |
| `app` | the routes |
"""
