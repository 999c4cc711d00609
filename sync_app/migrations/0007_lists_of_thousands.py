import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('instances_app', '0008_glance'),
        ('sync_app', '0006_freezes_and_maintenance'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['rollout', 'id'], name='delivery_in_order'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state__in', ['rejected', 'failed', 'unreachable', 'unknown'])), fields=['rollout', 'id'], name='delivery_attention'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['instance', '-id'], name='delivery_last'),
        ),
        migrations.RemoveIndex(
            model_name='delivery',
            name='delivery_by_instance',
        ),
        migrations.AlterField(
            model_name='delivery',
            name='rollout',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='sync_app.rollout'),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='instance',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='instances_app.instance'),
        ),
        migrations.CreateModel(
            name='SavedView',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=60)),
                ('query', models.CharField(max_length=1000)),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='instances_app.environment')),
                ('person', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('person', 'environment', 'name'), name='saved_view_once')],
            },
        ),
    ]
