import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION sync_app_dry_answer_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state NOT IN ('pending', 'asking') OR NEW.run_id <> OLD.run_id
       OR NEW.instance_id <> OLD.instance_id THEN
        RAISE EXCEPTION 'what an instance answered to a dry run is not changed' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER dry_answer_final BEFORE UPDATE OR DELETE ON sync_app_dryanswer
    FOR EACH ROW EXECUTE FUNCTION sync_app_dry_answer_final();

CREATE FUNCTION sync_app_dry_answer_of_running() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM sync_app_dryrun r WHERE r.id = NEW.run_id AND r.state = 'running') THEN
        RAISE EXCEPTION 'a dry run that has ended gets no more instances' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER dry_answer_of_running BEFORE INSERT ON sync_app_dryanswer
    FOR EACH ROW EXECUTE FUNCTION sync_app_dry_answer_of_running();

CREATE FUNCTION sync_app_dry_run_ends_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'running' OR (NEW.change_id, NEW.number, NEW.digests, NEW.aim, NEW.names,
        NEW.author_id, NEW.started_at) IS DISTINCT FROM (OLD.change_id, OLD.number, OLD.digests, OLD.aim, OLD.names,
        OLD.author_id, OLD.started_at) THEN
        RAISE EXCEPTION 'a dry run ends once and is not changed' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state <> 'running' AND EXISTS (SELECT 1 FROM sync_app_dryanswer a
                                          WHERE a.run_id = NEW.id AND a.state IN ('pending', 'asking')) THEN
        RAISE EXCEPTION 'a dry run ends when every instance has its answer' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER dry_run_ends_once BEFORE UPDATE OR DELETE ON sync_app_dryrun
    FOR EACH ROW EXECUTE FUNCTION sync_app_dry_run_ends_once();
"""
BACK = """
DROP TRIGGER dry_run_ends_once ON sync_app_dryrun;
DROP FUNCTION sync_app_dry_run_ends_once();
DROP TRIGGER dry_answer_of_running ON sync_app_dryanswer;
DROP FUNCTION sync_app_dry_answer_of_running();
DROP TRIGGER dry_answer_final ON sync_app_dryanswer;
DROP FUNCTION sync_app_dry_answer_final();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('configs_app', '0017_comments'),
        ('instances_app', '0005_observation_at'),
        ('sync_app', '0004_drift'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='DryRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('state', models.CharField(choices=[('running', 'Running'), ('finished', 'Finished'), ('stopped', 'Stopped')], default='running', max_length=20)),
                ('digests', models.JSONField()),
                ('aim', models.CharField(max_length=64)),
                ('names', models.JSONField()),
                ('started_at', models.DateTimeField(auto_now_add=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('ended_because', models.CharField(blank=True, max_length=200)),
                ('author', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('change', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='dry_runs', to='configs_app.change')),
            ],
            options={
                'ordering': ['-number'],
            },
        ),
        migrations.CreateModel(
            name='DryAnswer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('asking', 'Asking'), ('ready', 'Ready'), ('not fit', 'Unfit'), ('refused', 'Refused'), ('failed', 'Failed'), ('unreachable', 'Unreachable'), ('unknown', 'Unknown'), ('cannot be asked', 'Unable'), ('not asked', 'Skipped')], default='pending', max_length=20)),
                ('kinds', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), default=list, size=None)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('lease_until', models.DateTimeField(null=True)),
                ('changed_at', models.DateTimeField(auto_now_add=True)),
                ('code', models.CharField(blank=True, max_length=40)),
                ('error', models.CharField(blank=True, max_length=500)),
                ('reached', models.BooleanField(null=True)),
                ('admitted', models.BooleanField(null=True)),
                ('validator', models.BooleanField(null=True)),
                ('writable', models.BooleanField(null=True)),
                ('room', models.BooleanField(null=True)),
                ('free_bytes', models.BigIntegerField(null=True)),
                ('placeholders', models.JSONField(default=dict)),
                ('instance', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='instances_app.instance')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='answers', to='sync_app.dryrun')),
            ],
        ),
        migrations.AddConstraint(
            model_name='dryrun',
            constraint=models.UniqueConstraint(fields=('change', 'number'), name='dry_run_number_once'),
        ),
        migrations.AddConstraint(
            model_name='dryrun',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'running')), fields=('change',), name='dry_run_one_running'),
        ),
        migrations.AddConstraint(
            model_name='dryrun',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['running', 'finished', 'stopped'])), name='dry_run_state_known'),
        ),
        migrations.AddConstraint(
            model_name='dryrun',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('state', 'running')), models.Q(models.Q(('state', 'running'), _negated=True), ('finished_at__isnull', False)), _connector='OR'), name='dry_run_ended_has_time'),
        ),
        migrations.AddConstraint(
            model_name='dryrun',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'stopped'), _negated=True), models.Q(('ended_because', ''), _negated=True), _connector='OR'), name='dry_run_stop_has_reason'),
        ),
        migrations.AddIndex(
            model_name='dryanswer',
            index=models.Index(condition=models.Q(('state__in', ('pending', 'asking'))), fields=['run'], name='dry_answer_open'),
        ),
        migrations.AddConstraint(
            model_name='dryanswer',
            constraint=models.UniqueConstraint(fields=('run', 'instance'), name='dry_answer_once'),
        ),
        migrations.AddConstraint(
            model_name='dryanswer',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['pending', 'asking', 'ready', 'not fit', 'refused', 'failed', 'unreachable', 'unknown', 'cannot be asked', 'not asked'])), name='dry_answer_state_known'),
        ),
        migrations.AddConstraint(
            model_name='dryanswer',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ('pending', 'asking', 'ready')), models.Q(('error', ''), _negated=True), _connector='OR'), name='dry_answer_has_reason'),
        ),
        migrations.AddConstraint(
            model_name='dryanswer',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'asking'), _negated=True), ('lease_until__isnull', False), _connector='OR'), name='dry_answer_asking_has_lease'),
        ),
        migrations.RunSQL(FORWARD, BACK),
    ]
