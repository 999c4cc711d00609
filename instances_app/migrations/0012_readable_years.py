"""Days from 2000 to 2100 only: a moment in the year 10000 comes back from the database as one that cannot be read."""

import datetime

from django.db import migrations, models

# No page can mend a row that no page can read. Until the year 9999 means: until somebody ends it.
MEND = """
ALTER TABLE instances_app_freeze DISABLE TRIGGER freeze_stays;
UPDATE instances_app_freeze SET
    starts_at = least(greatest(starts_at, '1999-12-31Z'), '2101-01-02Z'),
    ends_at = CASE WHEN ends_at BETWEEN '1999-12-31Z' AND '2101-01-02Z' THEN ends_at END
WHERE starts_at NOT BETWEEN '1999-12-31Z' AND '2101-01-02Z' OR ends_at NOT BETWEEN '1999-12-31Z' AND '2101-01-02Z';
ALTER TABLE instances_app_freeze ENABLE TRIGGER freeze_stays;
UPDATE instances_app_instance SET maintenance_until = NULL WHERE maintenance_until > '2101-01-02Z';
"""
FIRST = datetime.datetime(1999, 12, 31, tzinfo=datetime.UTC)
LAST = datetime.datetime(2101, 1, 2, tzinfo=datetime.UTC)


class Migration(migrations.Migration):

    dependencies = [
        ('instances_app', '0011_moved_and_retired'),
    ]

    operations = [
        migrations.RunSQL(MEND, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('starts_at', None), ('starts_at__range', (FIRST, LAST)), _connector='OR'), models.Q(('ends_at', None), ('ends_at__range', (FIRST, LAST)), _connector='OR')), name='freeze_in_readable_years'),
        ),
        migrations.AddConstraint(
            model_name='instance',
            constraint=models.CheckConstraint(condition=models.Q(('maintenance_until', None), ('maintenance_until__lte', LAST), _connector='OR'), name='instance_maintenance_in_readable_years'),
        ),
    ]
