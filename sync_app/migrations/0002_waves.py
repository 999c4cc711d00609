import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('configs_app', '0010_plan_and_targets'),
        ('instances_app', '0002_plan'),
        ('sync_app', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='rollout',
            name='rollout_one_unfinished',
        ),
        migrations.RemoveConstraint(
            model_name='rollout',
            name='rollout_state_known',
        ),
        migrations.RemoveConstraint(
            model_name='rollout',
            name='rollout_cause_known',
        ),
        migrations.AddField(
            model_name='delivery',
            name='wave',
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name='rollout',
            name='asked_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='rollout',
            name='halt_reason',
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name='rollout',
            name='held_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='rollout',
            name='held_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='rollout',
            name='overlooked',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='rollout',
            name='plan',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='rollout',
            name='wave',
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name='rollout',
            name='wave_opened_at',
            field=models.DateTimeField(auto_now_add=True, default=django.utils.timezone.now),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='rollout',
            name='waves',
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AlterField(
            model_name='rollout',
            name='cause',
            field=models.CharField(choices=[('publish', 'Publish'), ('sync', 'Sync'), ('retry', 'Retry'), ('rollback', 'Rollback')], max_length=20),
        ),
        migrations.AlterField(
            model_name='rollout',
            name='state',
            field=models.CharField(choices=[('running', 'Running'), ('paused', 'Paused'), ('halted', 'Halted'), ('succeeded', 'Succeeded'), ('incomplete', 'Incomplete'), ('cancelled', 'Cancelled'), ('superseded', 'Superseded')], default='running', max_length=20),
        ),
        migrations.AddConstraint(
            model_name='rollout',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ('running', 'paused', 'halted'))), fields=('environment',), name='rollout_one_unfinished'),
        ),
        migrations.AddConstraint(
            model_name='rollout',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['running', 'paused', 'halted', 'succeeded', 'incomplete', 'cancelled', 'superseded'])), name='rollout_state_known'),
        ),
        migrations.AddConstraint(
            model_name='rollout',
            constraint=models.CheckConstraint(condition=models.Q(('cause__in', ['publish', 'sync', 'retry', 'rollback'])), name='rollout_cause_known'),
        ),
        migrations.AddConstraint(
            model_name='rollout',
            constraint=models.CheckConstraint(condition=models.Q(('wave__gte', 1), ('wave__lte', models.F('waves'))), name='rollout_wave_exists'),
        ),
        migrations.AddConstraint(
            model_name='rollout',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'halted'), _negated=True), models.Q(('halt_reason', ''), _negated=True), _connector='OR'), name='rollout_halt_has_reason'),
        ),
    ]
