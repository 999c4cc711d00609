"""Freezes, maintenance windows, instances in maintenance. A freeze stays as it was set, and is lifted aloud."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION instances_app_refuse_freeze() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lifted instances_app_freeze := NEW;
BEGIN
    lifted.lifted_at := OLD.lifted_at;
    lifted.lifted_by_id := OLD.lifted_by_id;
    lifted.lift_reason := OLD.lift_reason;
    lifted.skipped_until := OLD.skipped_until;
    IF OLD.lifted_at IS NOT NULL OR lifted IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'a freeze is lifted once and stays as it is' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.kind = 'freeze'
       AND EXISTS (SELECT 1 FROM instances_app_environment e WHERE e.id = NEW.environment_id AND e.protected)
       AND NOT EXISTS (SELECT 1 FROM instances_app_latereview r
                       WHERE r.environment_id = NEW.environment_id AND r.cause = 'freeze' AND r.closed_at IS NULL) THEN
        RAISE EXCEPTION 'a freeze is lifted only beside an open late review' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER freeze_stays BEFORE UPDATE ON instances_app_freeze
    FOR EACH ROW EXECUTE FUNCTION instances_app_refuse_freeze();
CREATE TRIGGER freeze_not_deleted BEFORE DELETE ON instances_app_freeze
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();
"""
BACK = """
DROP TRIGGER freeze_not_deleted ON instances_app_freeze;
DROP TRIGGER freeze_stays ON instances_app_freeze;
DROP FUNCTION instances_app_refuse_freeze();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('instances_app', '0006_self_heal'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Freeze',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('freeze', 'Freeze: no rollout starts in this time'), ('window', 'Maintenance window: rollouts start in this time only')], max_length=10)),
                ('policy', models.CharField(choices=[('finish', 'goes on to its end'), ('pause', 'is paused, until a person resumes it afterwards')], max_length=10)),
                ('zone', models.CharField(max_length=60)),
                ('starts_at', models.DateTimeField(null=True)),
                ('ends_at', models.DateTimeField(null=True)),
                ('start_day', models.PositiveSmallIntegerField(null=True)),
                ('start_time', models.TimeField(null=True)),
                ('end_day', models.PositiveSmallIntegerField(null=True)),
                ('end_time', models.TimeField(null=True)),
                ('reason', models.CharField(max_length=500)),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('skipped_until', models.DateTimeField(null=True)),
                ('lifted_at', models.DateTimeField(null=True)),
                ('lift_reason', models.CharField(blank=True, max_length=500)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='latereview',
            name='late_review_cause_known',
        ),
        migrations.AddField(
            model_name='instance',
            name='maintenance_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='instance',
            name='maintenance_reason',
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name='instance',
            name='maintenance_since',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='instance',
            name='maintenance_until',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='latereview',
            name='cause',
            field=models.CharField(choices=[('glass', 'Glass'), ('rules', 'Rules'), ('freeze', 'Freeze')], max_length=10),
        ),
        migrations.AddIndex(
            model_name='instance',
            index=models.Index(condition=models.Q(('maintenance_since__isnull', False)), fields=['environment'], name='instance_in_maintenance'),
        ),
        migrations.AddConstraint(
            model_name='instance',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('maintenance_by', None), ('maintenance_reason', ''), ('maintenance_since', None), ('maintenance_until', None)), models.Q(('maintenance_by__isnull', False), ('maintenance_since__isnull', False), models.Q(('maintenance_reason', ''), _negated=True)), _connector='OR'), name='instance_maintenance_has_reason'),
        ),
        migrations.AddConstraint(
            model_name='latereview',
            constraint=models.CheckConstraint(condition=models.Q(('cause__in', ['glass', 'rules', 'freeze'])), name='late_review_cause_known'),
        ),
        migrations.AddField(
            model_name='freeze',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='freeze',
            name='environment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='freezes', to='instances_app.environment'),
        ),
        migrations.AddField(
            model_name='freeze',
            name='lifted_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='freeze',
            index=models.Index(condition=models.Q(('lifted_at', None)), fields=['environment'], name='freeze_standing'),
        ),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['freeze', 'window'])), name='freeze_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.CheckConstraint(condition=models.Q(('policy__in', ['finish', 'pause'])), name='freeze_policy_known'),
        ),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='freeze_has_reason'),
        ),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'freeze'), ('start_day', None), ('start_time', None), ('starts_at__isnull', False), ('end_day', None), ('end_time', None), models.Q(('ends_at', None), ('ends_at__gt', models.F('starts_at')), _connector='OR')), models.Q(('end_day__lte', 6), ('ends_at', None), ('start_day__lte', 6), ('starts_at', None), ('end_time__isnull', False), ('start_time__isnull', False)), _connector='OR'), name='freeze_once_or_weekly'),
        ),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('lifted_at', None), ('lifted_by', None)), models.Q(('lifted_at__isnull', False), ('lifted_by__isnull', False), models.Q(('lift_reason', ''), _negated=True)), _connector='OR'), name='freeze_lifted_with_reason'),
        ),
        migrations.RunSQL(FORWARD, BACK),
    ]
