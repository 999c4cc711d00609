import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


# What an instance was before this migration it is called; a word that nobody heard lately says nothing.
CALLED = """
UPDATE instances_app_instance SET health_called = CASE health WHEN 'unknown' THEN 'new' ELSE health END,
    health_called_at = health_at, health_streak = 1
"""
# Both are written anew with every check: room in each page keeps their rows where they are (heap-only updates).
ROOM = """
ALTER TABLE instances_app_instance SET (fillfactor = 60);
ALTER TABLE instances_app_observation SET (fillfactor = 70);
"""
FULL = """
ALTER TABLE instances_app_instance RESET (fillfactor);
ALTER TABLE instances_app_observation RESET (fillfactor);
"""
FORWARD = """
CREATE TRIGGER health_transition_append_only BEFORE UPDATE OR DELETE ON instances_app_healthtransition
    FOR EACH ROW EXECUTE FUNCTION console_refuse_change();
"""
BACK = "DROP TRIGGER health_transition_append_only ON instances_app_healthtransition;"


class Migration(migrations.Migration):

    dependencies = [
        ('instances_app', '0006_self_heal'),
        ('console', '0002_audit_append_only'),
    ]

    operations = [
        migrations.CreateModel(
            name='CheckSample',
            fields=[
                ('instance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='samples', to='instances_app.instance')),
                ('pk', models.CompositePrimaryKey('instance_id', 'at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('checks', models.PositiveSmallIntegerField()),
                ('failures', models.PositiveSmallIntegerField()),
                ('degraded', models.PositiveSmallIntegerField()),
                ('changes', models.PositiveSmallIntegerField()),
                ('ms_mean', models.PositiveIntegerField(null=True)),
                ('ms_max', models.PositiveIntegerField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='HealthTransition',
            fields=[
                ('instance', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='instances_app.instance')),
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('before', models.CharField(choices=[('healthy', 'Healthy'), ('degraded', 'Degraded'), ('down', 'Down'), ('unknown', 'Unknown'), ('new', 'New'), ('late', 'Late')], max_length=20)),
                ('after', models.CharField(choices=[('healthy', 'Healthy'), ('degraded', 'Degraded'), ('down', 'Down'), ('unknown', 'Unknown'), ('new', 'New'), ('late', 'Late')], max_length=20)),
                ('detail', models.CharField(blank=True, max_length=300)),
            ],
            options={
                'ordering': ['-at', '-pk'],
            },
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_changes',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_checks',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_degraded',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_failures',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_ms',
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='bucket_ms_max',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='certificate_until',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='instance',
            name='health_called',
            field=models.CharField(choices=[('healthy', 'Healthy'), ('degraded', 'Degraded'), ('down', 'Down'), ('unknown', 'Unknown'), ('new', 'New'), ('late', 'Late')], default='new', max_length=20),
        ),
        migrations.AddField(
            model_name='instance',
            name='health_called_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='instance',
            name='health_streak',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='instance',
            name='latency_ms',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name='instance',
            name='health',
            field=models.CharField(choices=[('healthy', 'Healthy'), ('degraded', 'Degraded'), ('down', 'Down'), ('unknown', 'Unknown'), ('new', 'New'), ('late', 'Late')], default='unknown', max_length=20),
        ),
        migrations.AddConstraint(
            model_name='instance',
            constraint=models.CheckConstraint(condition=models.Q(('health_called__in', ['new', 'healthy', 'degraded', 'down'])), name='instance_health_called_known'),
        ),
        migrations.AddIndex(
            model_name='checksample',
            index=django.contrib.postgres.indexes.BrinIndex(fields=['at'], name='check_sample_by_time'),
        ),
        migrations.AddConstraint(
            model_name='checksample',
            constraint=models.CheckConstraint(condition=models.Q(('checks__gte', django.db.models.expressions.CombinedExpression(models.F('failures'), '+', models.F('degraded')))), name='check_sample_failures_of_checks'),
        ),
        migrations.AddIndex(
            model_name='healthtransition',
            index=models.Index(fields=['instance', '-at'], name='health_transition_by_instance'),
        ),
        migrations.AddConstraint(
            model_name='healthtransition',
            constraint=models.CheckConstraint(condition=models.Q(('after__in', ['new', 'healthy', 'degraded', 'down']), ('before__in', ['new', 'healthy', 'degraded', 'down']), models.Q(('before', models.F('after')), _negated=True)), name='health_transition_known'),
        ),
        migrations.RunSQL(ROOM, FULL),
        migrations.RunSQL(CALLED, migrations.RunSQL.noop),
        migrations.RunSQL(FORWARD, BACK),
    ]
