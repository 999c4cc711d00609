import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('instances_app', '0007_freezes_and_maintenance'),
        ('sync_app', '0005_dry_runs'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='delivery',
            name='delivery_state_known',
        ),
        migrations.AddField(
            model_name='rollout',
            name='comparison',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='rollout',
            name='frozen_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='instances_app.freeze'),
        ),
        migrations.AddField(
            model_name='rollout',
            name='left_out',
            field=models.JSONField(default=list),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='state',
            field=models.CharField(choices=[('pending', 'Pending'), ('sending', 'Sending'), ('unknown', 'Unknown'), ('retrying', 'Retrying'), ('verified', 'Verified'), ('rejected', 'Rejected'), ('failed', 'Failed'), ('unreachable', 'Unreachable'), ('superseded', 'Superseded'), ('cancelled', 'Cancelled'), ('skipped', 'Skipped')], default='pending', max_length=20),
        ),
        migrations.AddField(
            model_name='delivery',
            name='drain_error',
            field=models.CharField(blank=True, db_default='', default='', max_length=300),
        ),
        migrations.AddField(
            model_name='delivery',
            name='drained_since',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('drained_since__isnull', False)), fields=['rollout'], name='delivery_drained'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['pending', 'sending', 'unknown', 'retrying', 'verified', 'rejected', 'failed', 'unreachable', 'superseded', 'cancelled', 'skipped'])), name='delivery_state_known'),
        ),
    ]
