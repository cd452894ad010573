"""The pages of `nightsweep view`, and the server that sends them.

Imports `storage` and `analysis`. The command hands in what only a command can do, as
`gallery.actions.Actions`.

| module | holds |
|---|---|
| `site`, `actions` | what the server is told when it starts |
| `security`, `error_answers` | which requests it takes; headers of answers; errors |
| `pages`, `static_files`, `module_bundle` | the pages; their scripts, each one file |
| `files` | thumbnails and images |
| `api`, `changes_api`, `request_fields` | questions and changes, in JSON |
| `asked_pivots`, `pivot`, `completion`, `neighbours` | what some are answered with |
| `events`, `watching`, `counting`, `state` | live updates |
| `reader` | the database, kept open |
| `export` | a folder that opens from disk |
| `app` | the routes |
"""
