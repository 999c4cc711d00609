from django.db import migrations

# Words, not the parser's idea of hosts, paths and numbers: `change.approved` is found by `approved`. Bounded, because
# an event must never fail to be written for what is in it; `data` comes last, so it is what is cut.
ADD = r"""
ALTER TABLE console_auditevent ADD COLUMN words tsvector NOT NULL GENERATED ALWAYS AS (
    to_tsvector('simple', translate(
        left(action || ' ' || actor_name || ' ' || environment || ' ' || target_type || ' ' || target_id || ' '
             || target_label || ' ' || data::text, 4000),
        $$./\:-_"'{}[](),;=@<>&?#|!*%+~^`‹›$$, repeat(' ', 40)))
) STORED;
CREATE INDEX audit_by_words ON console_auditevent USING gin (words) WITH (fastupdate = off);
"""
REMOVE = """
DROP INDEX audit_by_words;
ALTER TABLE console_auditevent DROP COLUMN words;
"""


class Migration(migrations.Migration):
    dependencies = [("console", "0005_audit_session_and_cause")]
    operations = [migrations.RunSQL(ADD, REMOVE)]
